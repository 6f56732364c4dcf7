#!/bin/sh
# Run by PostgreSQL's image when its volume is made: the databases, their owners, and the roles that
# have a password. `hissaback migrate` makes the tables and grants.
set -eu

psql --set ON_ERROR_STOP=1 --no-psqlrc --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set owner="$OWNER_PASSWORD" --set writer="$WRITER_PASSWORD" \
    --set operator="$OPERATOR_PASSWORD" --set api="$API_PASSWORD" \
    --set registry="$REGISTRY_PASSWORD" <<'SQL'
CREATE ROLE hissaback_owner LOGIN CREATEROLE PASSWORD :'owner';
CREATE ROLE hissaback_writer LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'writer';
CREATE ROLE hissaback_operator LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'operator';
CREATE ROLE hissaback_api LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'api';
CREATE DATABASE hissaback OWNER hissaback_owner;

CREATE ROLE registry LOGIN PASSWORD :'registry';
CREATE DATABASE registry OWNER registry;
SQL
