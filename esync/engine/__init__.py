"""The engine: what runs handlers. It is given a driver and knows no database."""
