"""Archives as tables: wide or long, in Arrow, pandas or Polars, and the codebook of their columns."""
