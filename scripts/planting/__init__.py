"""Wrong rules planted one by one, and the gates that must go red. See scripts/plant_rules.py."""
