"""Who can log in to the cluster's servers, as /users/ shows it. Source: Cluster API v2.0, /users/."""

from msgspec import Struct


class User(Struct, frozen=True):
    """A role with LOGIN."""

    username: str


class UsersAnswer(Struct, frozen=True, omit_defaults=True):
    """Users by name, as bytes compare."""

    users: list[User]
    next: int = 0  # offset of the next page; absent on the last one
