"""Content: blobs by digest and the uploads that bring them, in a directory or, later, in S3."""
