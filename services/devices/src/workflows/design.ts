import { AppError, compile, recordOf, type Static, Type } from '@fleetgate/kit'

/** A node as the engine sees it; what else the editor keeps of it is the editor's own. */
export interface PlanNode {
  id: string
  component: string
  /** What people call it. */
  name: string
  /** The editor's own name of the type. */
  type: string
  parameters: Record<string, unknown>
}

export interface PlanEdge {
  source: string
  target: string
  /** The branch of a choice. */
  handle?: string | undefined
}

/** A design that can be run: one entry, no cycle, every edge between nodes that are there. */
export interface Plan {
  entry: PlanNode
  /** Every node behind all that lead to it. */
  order: PlanNode[]
  incoming: ReadonlyMap<string, readonly PlanEdge[]>
  byId: ReadonlyMap<string, PlanNode>
}

export interface Kinds {
  isKnown(component: string): boolean
  isEntry(component: string): boolean
}

const maxBytes = 900_000
const maxNodes = 200
const maxEdges = 400
const maxLevels = 50
const reserved = new Set(['__proto__', 'constructor', 'prototype'])

const Id = Type.String({ minLength: 1, maxLength: 128 })
const Design = Type.Object({
  nodes: Type.Array(
    Type.Object({
      id: Id,
      type: Type.Optional(Type.String({ maxLength: 64 })),
      componentName: Type.String({ minLength: 1, maxLength: 64 }),
      data: Type.Optional(
        Type.Object({
          nodeName: Type.Optional(Type.String({ maxLength: 200 })),
          parameters: Type.Optional(recordOf(Type.Unknown()))
        })
      )
    }),
    { minItems: 1, maxItems: maxNodes }
  ),
  edges: Type.Array(
    Type.Object({
      source: Id,
      target: Id,
      sourceHandle: Type.Optional(Type.Unsafe<string | null>({ type: ['string', 'null'], maxLength: 128 }))
    }),
    { maxItems: maxEdges, default: [] }
  )
})
const check = compile(Design)
type DesignNode = Static<typeof Design>['nodes'][number]

/** The design document of the editor; throws `invalid_input` naming the node. Parameters are not looked into. */
export function planOf(text: string, kinds: Kinds): Plan {
  const design = checked(parse(text))
  const byId = nodesById(design.nodes, kinds)
  const edges = design.edges.map(({ source, target, sourceHandle }) => ({
    source,
    target,
    handle: sourceHandle ?? undefined
  }))
  for (const edge of edges) {
    for (const end of [edge.source, edge.target]) {
      if (!byId.has(end)) throw refusal(`an edge ends at node ${short(end)}, which is not there`)
    }
  }
  const entries = [...byId.values()].filter(({ component }) => kinds.isEntry(component))
  const [entry] = entries
  if (!entry || entries.length > 1) throw refusal(`exactly one entry node is needed, there are ${entries.length}`)
  const incoming = groupBy(edges, ({ target }) => target)
  if (incoming.has(entry.id)) throw refusal(`an edge leads into the entry node ${short(entry.id)}`)
  return { entry, order: sorted(byId, edges), incoming, byId }
}

/** Text to an object, or a clear refusal: never deeper than the engine wants to walk. */
export function parse(text: string): unknown {
  if (Buffer.byteLength(text) > maxBytes) throw refusal(`it is larger than ${maxBytes} bytes`)
  let value: unknown
  try {
    value = JSON.parse(text, (key, own) => (key === '__proto__' ? undefined : own))
  } catch {
    throw refusal('it is not valid JSON')
  }
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxLevels) throw refusal(`it is nested more than ${maxLevels} levels deep`)
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []))
  }
  return value
}

function checked(value: unknown): Static<typeof Design> {
  try {
    return check(value)
  } catch (error) {
    throw refusal((error as Error).message)
  }
}

function nodesById(nodes: DesignNode[], kinds: Kinds): Map<string, PlanNode> {
  const byId = new Map<string, PlanNode>()
  for (const { id, type = '', componentName: component, data } of nodes) {
    if (reserved.has(id)) throw refusal(`a node may not be called ${id}`)
    if (byId.has(id)) throw refusal(`node ${short(id)} stands there twice`)
    if (!kinds.isKnown(component)) {
      throw refusal(`node ${short(id)} is of the type ${short(component)}, which is not known`)
    }
    byId.set(id, { id, component, type, name: data?.nodeName ?? component, parameters: data?.parameters ?? {} })
  }
  return byId
}

function sorted(byId: Map<string, PlanNode>, edges: PlanEdge[]): PlanNode[] {
  const outgoing = groupBy(edges, ({ source }) => source)
  const waiting = new Map([...byId.keys()].map((id) => [id, 0]))
  for (const { target } of edges) waiting.set(target, (waiting.get(target) ?? 0) + 1)
  const order = [...byId.values()].filter(({ id }) => waiting.get(id) === 0)
  for (const { id } of order) {
    for (const { target } of outgoing.get(id) ?? []) {
      const left = (waiting.get(target) ?? 0) - 1
      waiting.set(target, left)
      const node = byId.get(target)
      if (left === 0 && node) order.push(node)
    }
  }
  const stuck = [...waiting].find(([, left]) => left > 0)
  if (stuck) throw refusal(`node ${short(stuck[0])} stands in or behind a cycle`)
  return order
}

function groupBy(edges: PlanEdge[], keyOf: (edge: PlanEdge) => string): Map<string, PlanEdge[]> {
  const groups = new Map<string, PlanEdge[]>()
  for (const edge of edges) groups.set(keyOf(edge), [...(groups.get(keyOf(edge)) ?? []), edge])
  return groups
}

export function refusal(reason: string): AppError {
  return new AppError('invalid_input', `design_data: ${reason}`, { field: 'design_data' })
}

export function short(text: string): string {
  return `"${text.slice(0, 60)}"`
}
