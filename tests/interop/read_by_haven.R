# What haven reads from a .dta or .sav file, as JSON: Rscript read_by_haven.R FILE JSON
suppressMessages(library(haven))
path <- commandArgs(TRUE)[1]
data <- if (grepl("dta$", path)) read_dta(path) else read_sav(path)
columns <- lapply(data, function(x) {
  texts <- if (inherits(x, "POSIXct")) format(x, "%Y-%m-%dT%H:%M:%OS3", tz = "UTC")
           else if (is.character(unclass(x))) as.character(x)
           else ifelse(is.na(x), NA, sprintf("%.17g", as.numeric(x)))
  labels <- attr(x, "labels")
  list(values = unname(as.list(texts)), label = attr(x, "label"),
       labels = if (is.null(labels)) NULL else setNames(as.list(names(labels)), as.character(labels)))
})
write_json <- function(x) {
  if (is.null(x) || (length(x) == 1 && !is.list(x) && is.na(x))) return("null")
  if (is.list(x)) {
    inner <- vapply(x, write_json, "")
    if (is.null(names(x))) return(paste0("[", paste(inner, collapse = ","), "]"))
    keys <- vapply(names(x), write_json, "")
    return(paste0("{", paste0(keys, ":", inner, collapse = ","), "}"))
  }
  x <- enc2utf8(as.character(x))
  for (pair in list(c("\\", "\\\\"), c("\"", "\\\""), c("\n", "\\n"), c("\r", "\\r"), c("\t", "\\t")))
    x <- gsub(pair[1], pair[2], x, fixed = TRUE)
  paste0("\"", x, "\"")
}
out <- file(commandArgs(TRUE)[2], open = "wb")
writeBin(charToRaw(write_json(columns)), out)
close(out)
