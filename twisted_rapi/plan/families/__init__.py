"""Plans and locks by family of opcodes; `twisted_rapi.plan.table` puts them together."""
