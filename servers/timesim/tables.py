"""The tables of the database."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

# The prefix separates this server's tables, which it drops and refills, from other tables in the database.
METADATA = MetaData()
ORIGIN = Table("timesim_origin", METADATA, Column("fingerprint", Text, primary_key=True))
ZONES = Table(
    "timesim_zones",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
)
RULES = Table(
    "timesim_rules",
    METADATA,
    Column("zone_id", Integer, ForeignKey(ZONES.c.id), primary_key=True),
    Column("utc_from", BigInteger, primary_key=True),
    Column("utc_until", BigInteger, nullable=False),
    Column("local_from", BigInteger, nullable=False),
    Column("local_until", BigInteger, nullable=False),
    Column("utc_offset", Integer, nullable=False),
    Column("is_dst", Boolean, nullable=False),
    Column("abbreviation", String(16), nullable=False),
)
Index("timesim_rules_local", RULES.c.zone_id, RULES.c.local_from)
CITIES = Table(
    "timesim_cities",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("country", String(64), nullable=False),
    Column("zone_id", Integer, ForeignKey(ZONES.c.id), nullable=False, index=True),
)
DOCUMENT = Table(
    "timesim_document", METADATA, Column("part", Integer, primary_key=True), Column("body", Text, nullable=False)
)
PROMPTS = Table(
    "timesim_prompts", METADATA, Column("name", String(64), primary_key=True), Column("template", Text, nullable=False)
)
