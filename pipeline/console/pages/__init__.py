"""The pages, and who may use them."""

from pipeline.console.pages import (
    accounts,
    allowed,
    audit,
    cases,
    classes,
    clusters,
    comparison,
    exports,
    playbooks,
    prompts,
    queue,
    records,
    sql,
)

ROUTES = (
    *queue.ROUTES,
    *accounts.ROUTES,
    *records.ROUTES,
    *comparison.ROUTES,
    *prompts.ROUTES,
    *clusters.ROUTES,
    *classes.ROUTES,
    *playbooks.ROUTES,
    *sql.ROUTES,
    *cases.ROUTES,
    *allowed.ROUTES,
    *audit.ROUTES,
    *exports.ROUTES,
)
"""Every page behind the door."""
