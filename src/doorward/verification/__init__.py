"""Where a link or a code comes back: one page and one address in the API for every purpose."""
