"""The network as one device sees it; knows nothing of data, training or files on disk."""
