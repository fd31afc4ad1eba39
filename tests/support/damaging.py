"""Messages that are nearly right: data with something exchanged, dropped or added, and bytes with something bent."""

ODD = [
    None,
    True,
    -1,
    0,
    2**62,
    2**63,
    -(2**63),
    1e308,
    float("nan"),
    "",
    "\ud800".encode("utf-8", "surrogatepass"),
    "x" * 300,
    b"\x00\xff",
    [],
    {},
    [[[]]],
    {"__datetime__": True},
    {"__datetime__": True, "as_str": "never"},
    {"__ObjectId__": True, "as_str": "0"},
    {None: 1},
]


def damaged(chance, value):
    """The value with something in it exchanged, dropped or added."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        copy = dict(value)
        if chance.random() < 0.2:
            del copy[key]
        elif chance.random() < 0.2:
            copy[str(chance.random())] = chance.choice(ODD)
        else:
            copy[key] = damaged(chance, value[key])
        return copy
    if isinstance(value, list) and value and chance.random() < 0.8:
        index = chance.randrange(len(value))
        return [*value[:index], damaged(chance, value[index]), *value[index + 1 :]]
    if isinstance(value, bytes) and chance.random() < 0.8:
        return bent(chance, value)
    return chance.choice(ODD)


def bent(chance, data):
    """Bytes with some of them changed, cut off or repeated."""
    copy = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if not copy:
            break
        place = chance.randrange(len(copy))
        match chance.randrange(4):
            case 0:
                copy[place] ^= 1 << chance.randrange(8)
            case 1:
                copy[place] = chance.randrange(256)
            case 2:
                del copy[place:]
            case 3:
                copy[place:place] = copy[place : place + 20]
    return bytes(copy)
