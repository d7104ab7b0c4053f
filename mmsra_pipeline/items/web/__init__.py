"""Pictures by URL, fetched politely and kept one by one."""
