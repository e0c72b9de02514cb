"""The demo: starts Apache Kafka, PostgreSQL and every service on free loopback ports, and stops what it started."""
