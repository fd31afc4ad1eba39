"""What the `post` scenarios send: 1 KB of JSON."""

ORDER = {
    "customer": {"id": "u-1", "name": "A. Reader", "tier": "gold"},
    "currency": "EUR",
    "lines": [
        {"sku": f"A-{number:03}", "quantity": number % 4 + 1, "price": 1_290 + number, "note": "gift wrapped"}
        for number in range(12)
    ],
    "deliver": {"street": "Long Lane 17", "city": "Sampleton", "after": "2026-01-05T08:00:00Z"},
}
