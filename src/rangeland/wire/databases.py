"""Databases as /databases/ and the paths below it show them. Source: Cluster API v2.0, /databases/."""

from msgspec import UNSET, Struct, UnsetType


class DatabasesAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Databases by name, as bytes compare."""

    databases: list[str] = []
    next: int = 0  # offset of the next page; absent on the last one


class DatabaseAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One database."""

    descriptor_id: int = 0  # its oid

    # additions of ours
    owner: str = ""
    encoding: str = ""  # PostgreSQL's name of it, such as UTF8
    size_bytes: int | UnsetType = UNSET  # all its files; absent when counting took too long


class Grant(Struct, frozen=True, omit_defaults=True):
    """What one role may do; of "public": what everybody may."""

    user: str = ""
    privileges: list[str] = []


class GrantsAnswer(Struct, frozen=True, omit_defaults=True):
    """Grants by user, as bytes compare."""

    grants: list[Grant]
    next: int = 0  # offset of the next page; absent on the last one
