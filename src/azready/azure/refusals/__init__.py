"""Azure's refusals: what each means, and the next step that can be done. The first row that fits is the answer."""
