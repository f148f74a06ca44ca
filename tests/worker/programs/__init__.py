"""Programs that tests run beside a worker, in processes of their own."""
