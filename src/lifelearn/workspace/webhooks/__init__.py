"""What happens in an organisation, told to its members (notices) and to addresses that want to be told (webhooks).

`service.tell` is all that others need, in the transaction in which it happens. Knows nothing of what it tells.
"""
