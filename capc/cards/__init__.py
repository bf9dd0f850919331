"""What the pane of a party shows: a card that is drawn from the party's own events."""
