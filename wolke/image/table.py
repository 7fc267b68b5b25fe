"""What we keep of an image and of the projects it is shared with. The bytes lie in the store (``store.py``).

A deleted image keeps its row (``deleting``): servers that were cloned from it still name it.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from wolke.core.db import Base, Resource

DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "ploop", "iso")
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
VISIBILITIES = ("public", "community", "shared", "private")


class Image(Resource):
    __tablename__ = "image"

    # wanted: by the API
    visibility: Mapped[str] = mapped_column(default="shared", index=True)
    container_format: Mapped[str | None]
    disk_format: Mapped[str | None]
    min_disk: Mapped[int] = mapped_column(default=0)  # GiB
    min_ram: Mapped[int] = mapped_column(default=0)  # MiB
    protected: Mapped[bool] = mapped_column(default=False)
    os_hidden: Mapped[bool] = mapped_column(default=False)
    deactivated: Mapped[bool] = mapped_column(default=False)
    tags: Mapped[list[str]] = mapped_column(default=list)
    properties: Mapped[dict[str, str]] = mapped_column(default=dict)
    import_uri: Mapped[str] = mapped_column(Text, default="")  # web-download under way; "" none
    # seen: by whoever brought the bytes
    data: Mapped[str] = mapped_column(default="queued", index=True)  # queued saving uploading importing active
    data_until: Mapped[float] = mapped_column(default=0.0)  # unix seconds; a saving that is older was cut off
    size: Mapped[int | None]  # bytes
    virtual_size: Mapped[int | None]  # bytes
    checksum: Mapped[str | None]  # md5, as clients compare it
    os_hash_value: Mapped[str | None]  # sha512
    import_error: Mapped[str] = mapped_column(Text, default="")


class ImageMember(Base):
    """A project that an image of visibility ``shared`` is shared with."""

    __tablename__ = "image_member"

    image_id: Mapped[str] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), primary_key=True)
    member_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    status: Mapped[str] = mapped_column(default="pending")  # pending accepted rejected
    created_at: Mapped[float]
    updated_at: Mapped[float]
