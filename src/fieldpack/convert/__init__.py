"""An archive in the format of another tool: CSV, Parquet, XLSX, SPSS, Stata, or a folder of media.

`conversion` chooses the writer; each makes its file under a temporary name and moves it into place when it is whole.
"""
