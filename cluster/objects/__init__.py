"""Below `cluster.storage`: conditional writes, uploads, listings, packs of manifests, patience with a store."""
