"""What speed and studies share: places, records, tables, pages, timing, images, classifiers and baselines."""
