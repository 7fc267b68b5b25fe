"""The topology of a project's network.

API:  ``GET /wolke/v1/topology`` as nodes and edges, or as a picture (``Accept: image/svg+xml``, or ``/wolke/v1/topology.svg``).
Operators see every project, or one by ``?project_id=``.
"""

from __future__ import annotations

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.http import Answer, Ctx
from wolke.network.topology.graph import Graph, graph
from wolke.network.topology.svg import svg
from wolke.v1 import refuse_unknown, v1

SVG = "image/svg+xml"
_see = policy.rule("wolke:get_topology", policy.reader)


@v1.call("GET", "/topology", rule=_see)
def topology(ctx: Ctx) -> Json | Answer:
    """A project's networks, routers, servers and floating IPs as a graph."""
    found = asked(ctx)
    if SVG in ctx.headers.get("accept", ""):
        return picture(found)
    return {"topology": {"nodes": found.nodes, "edges": found.edges}}


@v1.call("GET", "/topology.svg", rule=_see)
def topology_svg(ctx: Ctx) -> Answer:
    """The same as a picture."""
    return picture(asked(ctx))


def picture(found: Graph) -> Answer:
    return Answer(svg(found).encode(), headers={"Content-Type": SVG})


def asked(ctx: Ctx) -> Graph:
    """The graph that the caller means and may see. Raises BadRequest, Forbidden."""
    refuse_unknown(ctx, ("project_id",))
    wanted = ctx.query.get("project_id")
    if wanted is None and ctx.allows(_see, policy.Target(None)):
        return graph(ctx.db, None)
    project = wanted or ctx.caller.project_id
    ctx.require(_see, policy.Target(project))
    return graph(ctx.db, project)
