"""Tables, columns and what they refer to, in each format, with their lines."""

from collections.abc import Callable

import polars as pl
import pytest

Chosen = Callable[..., set[tuple[str, ...]]]
FactExtractor = Callable[..., pl.DataFrame]

CASES: dict[str, tuple[str, str, set[tuple[str, str, str]]]] = {
    "sql": (
        "shop.sql",
        "-- Seats of a hall; (not a table)\nCREATE TABLE IF NOT EXISTS public.\"seat\" (\n"
        "  id BIGSERIAL PRIMARY KEY,\n  price NUMERIC(10, 2) NOT NULL DEFAULT 0, -- a, b\n"
        "  `row` varchar(3) DEFAULT 'x,y;(',\n"
        "  hall_id int REFERENCES hall (id) ON DELETE CASCADE,\n"
        "  seen timestamp with time zone,\n  CONSTRAINT once UNIQUE (hall_id, price),\n"
        "  FOREIGN KEY (\n    hall_id\n  ) REFERENCES hall(id)\n);\n"
        "INSERT INTO seat VALUES (1, 'create table no (id int)');\n"
        "CREATE BROKEN TABLE ((( ;\ncreate view cheap as select * from seat;\n"
        "ALTER TABLE ONLY hall ADD CONSTRAINT c FOREIGN KEY (town) REFERENCES town(id);\n"
        "CREATE FUNCTION f() RETURNS int AS $x$ CREATE TABLE hidden (id int); $x$ LANGUAGE sql;\n"
        "CREATE TABLE copy AS SELECT 1;\nCREATE TABLE [dbo].[log] ([at] datetime2(7) NULL)\nGO\n"
        "CREATE TABLE last (key text, value text)",
        {
            ("public.seat", "table", "public.seat"),
            ("public.seat", "column", "id BIGSERIAL"),
            ("public.seat", "column", "price NUMERIC(10, 2)"),
            ("public.seat", "column", "row varchar(3)"),
            ("public.seat", "column", "hall_id int"),
            ("public.seat", "references", "hall"),
            ("public.seat", "column", "seen timestamp with time zone"),
            ("cheap", "view", "cheap"),
            ("hall", "references", "town"),
            ("copy", "table", "copy"),
            ("dbo.log", "table", "dbo.log"),
            ("dbo.log", "column", "at datetime2(7)"),
            ("last", "table", "last"),
            ("last", "column", "key text"),
            ("last", "column", "value text"),
        },
    ),
    "sqlalchemy": (
        "models.py",
        "from sqlalchemy import Column\nclass Base(DeclarativeBase): pass\n"
        "class Stamped(object):\n    made = Column(DateTime)\n"
        "class Seat(Base):\n    __tablename__ = 'seats'\n"
        "    id: Mapped[int] = mapped_column(primary_key=True)\n    label: Mapped[str]\n"
        "    hall_id = Column(Integer, ForeignKey('halls.id'))\n"
        "    hall = relationship('Hall')\n    def x(self): ...\n"
        "links = Table('links', metadata,\n    Column('seat', ForeignKey('seats.id')),\n"
        "    Column('n', Integer))\n",
        {
            ("seats", "model", "Seat"),
            ("seats", "column", "id Mapped[int]"),
            ("seats", "column", "label Mapped[str]"),
            ("seats", "column", "hall_id Integer"),
            ("seats", "references", "halls"),
            ("links", "model", "links"),
            ("links", "column", "seat ForeignKey('seats.id')"),
            ("links", "references", "seats"),
            ("links", "column", "n Integer"),
        },
    ),
    "sqlmodel": (
        "models.py",
        "from sqlmodel import Field, SQLModel\nclass SeatBase(SQLModel):\n    label: str\n"
        "class Seat(SeatBase, table=True):\n    id: int | None = Field(primary_key=True)\n"
        "    hall_id: int = Field(foreign_key='hall.id')\n"
        "    hall: Hall = Relationship(back_populates='seats')\n",
        {
            ("seat", "model", "Seat"),
            ("seat", "column", "label str"),
            ("seat", "column", "id int | None"),
            ("seat", "column", "hall_id int"),
            ("seat", "references", "hall"),
        },
    ),
    "django": (
        "models.py",
        "from django.db import models\nclass Timed(models.Model):\n"
        "    at = models.DateTimeField()\n    class Meta:\n        abstract = True\n"
        "class Seat(Timed):\n    label = models.CharField(max_length=3)\n"
        "    hall = models.ForeignKey('halls.Hall', on_delete=models.CASCADE)\n"
        "    class Meta:\n        db_table = 'seat_table'\n"
        "class Form(forms.Form):\n    label = forms.CharField()\n",
        {
            ("seat_table", "model", "Seat"),
            ("seat_table", "column", "label CharField"),
            ("seat_table", "column", "hall ForeignKey"),
            ("seat_table", "references", "Hall"),
        },
    ),
    "peewee": (
        "models.py",
        "from peewee import CharField, ForeignKeyField, Model\nclass Seat(Model):\n"
        "    label = CharField()\n    hall = ForeignKeyField(Hall, backref='seats')\n",
        {
            ("Seat", "model", "Seat"),
            ("Seat", "column", "label CharField"),
            ("Seat", "column", "hall ForeignKeyField"),
            ("Seat", "references", "Hall"),
        },
    ),
    "jpa": (
        "Seat.java",
        "package a;\n/** A seat of a hall. */\n@Entity\n@Table(name = \"seats\")\n"
        "public class Seat {\n"
        "  private static final long serialVersionUID = 1L;\n  @Id private Long id;\n"
        "  @Column(name = \"tag\")\n  private String label;\n"
        "  @ManyToOne\n  @JoinColumn(name = \"hall_id\")\n  private Hall hall;\n"
        "  @OneToMany private List<Ticket> tickets;\n  @Transient private int shown;\n}\n",
        {
            ("seats", "model", "Seat"),
            ("seats", "column", "id Long"),
            ("seats", "column", "tag String"),
            ("seats", "column", "hall_id Hall"),
            ("seats", "references", "Hall"),
            ("seats", "column", "tickets List<Ticket>"),
            ("seats", "references", "Ticket"),
        },
    ),
    "typeorm": (
        "seat.ts",
        "import { Entity, Column } from 'typeorm';\n@Entity('seats')\nexport class Seat {\n"
        "  @PrimaryGeneratedColumn()\n  id: number;\n\n  @Column({ length: 3 })\n"
        "  label: string;\n\n"
        "  @ManyToOne(type => Hall, hall => hall.seats)\n  hall: Hall;\n\n  plain: string;\n"
        "  @BeforeInsert()\n  touch() {}\n}\n@Entity()\nclass Hall { @Column() name: string; }\n",
        {
            ("seats", "model", "Seat"),
            ("seats", "column", "id number"),
            ("seats", "column", "label string"),
            ("seats", "column", "hall Hall"),
            ("seats", "references", "Hall"),
            ("Hall", "model", "Hall"),
            ("Hall", "column", "name string"),
        },
    ),
    "sequelize": (
        "seat.js",
        "const { Sequelize, DataTypes } = require('sequelize');\n"
        "const Seat = sequelize.define('Seat', {\n"
        "  label: { type: DataTypes.STRING, allowNull: false },\n"
        "  'row': DataTypes.INTEGER,\n}, { tableName: 'seats' });\n"
        "Hall.init({ name: DataTypes.STRING }, { sequelize });\n",
        {
            ("seats", "model", "Seat"),
            ("seats", "column", "label DataTypes.STRING"),
            ("seats", "column", "row DataTypes.INTEGER"),
            ("Hall", "model", "Hall"),
            ("Hall", "column", "name DataTypes.STRING"),
        },
    ),
    "mongoose": (
        "seat.js",
        "const mongoose = require('mongoose');\n// A seat that is sold.\n"
        "const SeatSchema = new mongoose.Schema({\n  label: String,\n"
        "  hall: { type: mongoose.Schema.Types.ObjectId, ref: 'Hall' },\n"
        "}, { timestamps: true });\n",
        {
            ("Seat", "model", "Seat"),
            ("Seat", "column", "label String"),
            ("Seat", "column", "hall mongoose.Schema.Types.ObjectId"),
            ("Seat", "references", "Hall"),
        },
    ),
    "drizzle": (
        "seat.ts",
        "import { pgTable, serial } from 'drizzle-orm/pg-core';\n"
        "export const seats = pgTable('seats', {\n  id: serial('id').primaryKey(),\n});\n",
        {
            ("seats", "model", "seats"),
            ("seats", "column", "id serial('id').primaryKey()"),
        },
    ),
    "gorm": (
        "seat.go",
        "package a\n\n// Seat is sold.\ntype Seat struct {\n\tgorm.Model\n"
        "\tLabel string `gorm:\"column:tag;size:3\"`\n\tHall *Hall\n\tHidden int `gorm:\"-\"`\n}\n"
        "\n"
        "func (Seat) TableName() string { return \"seats\" }\n\n"
        "type Hall struct {\n\tName string `gorm:\"unique\"`\n}\n\ntype Plain struct {\n\tA int\n"
        "}\n",
        {
            ("seats", "model", "Seat"),
            ("seats", "column", "Model gorm.Model"),
            ("seats", "column", "tag string"),
            ("seats", "column", "Hall *Hall"),
            ("seats", "references", "Hall"),
            ("Hall", "model", "Hall"),
            ("Hall", "column", "Name string"),
        },
    ),
    "sqlx": (
        "seat.go",
        "package a\n\ntype Seat struct {\n\tID int `db:\"id\" json:\"id\"`\n"
        "\tRow string `db:\"-\"`\n}\n",
        {("Seat", "model", "Seat"), ("Seat", "column", "id int")},
    ),
    "diesel": (
        "schema.rs",
        "diesel::table! {\n    use diesel::sql_types::*;\n\n    /// Seats of halls.\n"
        "    seats (id) {\n        id -> Int4,\n        #[max_length = 3]\n"
        "        label -> Varchar,\n"
        "        at -> Nullable<Timestamp>,\n    }\n}\njoinable!(seats -> halls (id));\n",
        {
            ("seats", "table", "seats"),
            ("seats", "column", "id Int4"),
            ("seats", "column", "label Varchar"),
            ("seats", "column", "at Nullable<Timestamp>"),
        },
    ),
    "sea-orm": (
        "seat.rs",
        "use sea_orm::entity::prelude::*;\n#[sea_orm(table_name = \"seats\")]\npub struct Model {\n"
        "    #[sea_orm(primary_key)]\n    pub id: i32,\n    pub label: String,\n}\n",
        {
            ("seats", "model", "seats"),
            ("seats", "column", "id i32"),
            ("seats", "column", "label String"),
        },
    ),
    "prisma": (
        "schema.prisma",
        "datasource db {\n  provider = \"x\"\n}\n\n/// A seat that is sold.\nmodel Seat {\n"
        "  id Int @id\n  label String? // tag\n  hall Hall @relation(fields: [hallId], references: "
        "[id])\n  hallId Int\n  @@map(\"seats\")\n}\nenum Row {\n  A\n  B\n}\n",
        {
            ("seats", "model", "Seat"),
            ("seats", "column", "id Int"),
            ("seats", "column", "label String?"),
            ("seats", "column", "hall Hall"),
            ("seats", "references", "Hall"),
            ("seats", "column", "hallId Int"),
            ("Row", "enum", "Row"),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("mapper", CASES)
def test_tables_have_their_columns_and_references(triples: Chosen, mapper: str) -> None:
    path, text, expected = CASES[mapper]
    assert triples({path: text}, "schema") == expected
    technologies = {name for (name,) in triples({path: text}, "schema", "technology")}
    assert technologies == {mapper}


def test_a_table_and_its_columns_name_their_exact_lines(extract_facts: FactExtractor) -> None:
    _, text, _ = CASES["sql"]
    frame = extract_facts({"a.sql": text}).filter(pl.col("subject") == "public.seat")
    lines = {
        (relation, other): (start, end)
        for relation, other, start, end in frame.select("relation", "object", "start_line", "end_line").iter_rows()
    }
    assert lines["table", "public.seat"] == (2, 12)
    assert lines["column", "price NUMERIC(10, 2)"] == (4, 4)
    table = frame.filter(pl.col("relation") == "table")
    assert table["description"].to_list() == ["Seats of a hall; (not a table)"]
    assert table["evidence"][0] == "\n".join(text.split("\n")[1:12])


def test_a_class_with_a_docstring_is_described_by_it(triples: Chosen) -> None:
    text = (
        "from django.db import models\nclass Seat(models.Model):\n    '''A seat of a hall.'''\n"
        "    label = models.CharField()\n"
    )
    documented = triples({"m.py": text}, "schema", "object", "description", "description_source",
                   relation="model")  # fmt: skip
    assert documented == {("Seat", "A seat of a hall.", "docstring")}


def test_a_model_is_documented_under_its_own_name(triples: Chosen) -> None:
    text = (
        "from sqlalchemy.orm import Mapped, mapped_column\n\n\nclass Seat(Base):\n"
        '    """A seat of a hall."""\n\n    __tablename__ = "hall_seats"\n'
        "    label: Mapped[str] = mapped_column(primary_key=True)\n"
    )
    documented = triples({"m.py": text}, "schema", "subject", "object", "description", relation="model")
    assert documented == {("hall_seats", "Seat", "A seat of a hall.")}
