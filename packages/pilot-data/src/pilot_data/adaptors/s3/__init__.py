"""S3 buckets, of Amazon and of all services that speak its protocol."""
