"""Proof under faults that the engine leased_db accepts no session later than its lease after the end was committed."""
