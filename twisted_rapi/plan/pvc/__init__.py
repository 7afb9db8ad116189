"""How PVC sees the cluster: its records and reports in PVC's terms (behaviour.md of PVC)."""
