"""What apps are told of users: written with its cause, delivered as Standard Webhooks, read again from a cursor."""
