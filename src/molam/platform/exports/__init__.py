"""Writing tables out for people: CSV, XLSX and PDF, of any length, in little memory."""
