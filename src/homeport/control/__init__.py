"""The control plane: projects, access, policies, settings. It never touches the bytes of blobs."""
