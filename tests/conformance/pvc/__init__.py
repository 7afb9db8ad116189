"""PVC's API, asked again what real servers of three versions were asked."""
