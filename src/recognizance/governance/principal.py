"""Who asks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever signed a request.

    Attributes:
        access_key_id: The key that signed.
        role: The role that decides what it may do.
        account_id: The twelve-digit account that its ARNs name.
    """

    access_key_id: str
    role: str
    account_id: str
