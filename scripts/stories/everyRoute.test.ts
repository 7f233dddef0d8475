/**
 * Every operation of the printed APIs, through the gateway: who has all rights but the one that it needs is refused, and odd
 * input is answered in the form of its API.
 */
import { type Reply, type Session, startStackFor } from '@fleetgate/testkit'
import t from 'tap'
import { type Schema, sample } from './sample.js'

t.setTimeout(180_000)
// One for each need of a route.
const stack = await startStackFor(t, { env: { SERVICE_TOKENS_PER_USER: '200' } })
const { api } = stack
// No sample is its password, or one would change it.
const founder = { email: 'admin@example.com', nickname: 'admin', password: 'Other-9876!' }
await api.register(founder)
const admin = api.as(await api.login(founder.email, founder.password))
const json = { 'content-type': 'application/json' }

interface Operation {
  requestBody?: { content: Record<string, { schema: Record<string, unknown> }> }
  'x-needs': string[]
}

interface Place extends Operation {
  dialect: Dialect
  method: string
  template: string
}

/** How each API says no; a body may be missing where its document has none. */
const isRefusal = {
  beaver: ({ status, error_code }: Body) => status === 'Failed' && typeof error_code === 'string',
  sdes: ({ code, message }: Body) => typeof code === 'string' && typeof message === 'string',
  emq: ({ code }: Body) => typeof code === 'number',
  dms: ({ error_code }: Body) => String(error_code).startsWith('DMS.'),
  linker: ({ success, error }: Body) => success === false && typeof (error as Body)?.code === 'string',
  iam: ({ error }: Body) => {
    const { message, code, title } = (error ?? {}) as Body
    return typeof message === 'string' && typeof code === 'number' && typeof title === 'string'
  }
}
type Dialect = keyof typeof isRefusal
type Body = Record<string, unknown>

const places: Place[] = []
for (const dialect of Object.keys(isRefusal) as Dialect[]) {
  const printed = await api.get<{ paths: Record<string, Record<string, Operation>> }>(`/docs/${dialect}.json`)
  for (const [template, operations] of Object.entries(printed.body.paths))
    for (const [method, operation] of Object.entries(operations))
      places.push({ ...operation, dialect, template, method: method.toUpperCase() })
}

const pathOf = ({ template }: Place, value: string) =>
  template
    .replace('{project}', 'default')
    .replace('{instance}', 'default')
    .replaceAll(/\{\w+\}/g, value)

t.test('who has every right but the one that a route needs is refused', async (t) => {
  const codes = [...new Set(places.flatMap((place) => place['x-needs']))].filter((code) => code.includes('.'))
  const programs = new Map<string, Session>()
  async function allBut(needs: string[]): Promise<Session> {
    const name = needs.join(' or ')
    const known = programs.get(name)
    if (known) return known
    const draft = { name, codes: codes.filter((code) => !needs.includes(code)) }
    const { body } = await admin.post<{ data: { token: string } }>('/user/tokens', draft)
    const made = api.as(body.data.token)
    programs.set(name, made)
    return made
  }
  const guarded = places.filter((place) => !['public', 'signedIn'].includes(place['x-needs'][0] ?? ''))
  t.ok(guarded.length > 150, `${guarded.length} routes`)
  for (const place of guarded) {
    const reply = await (await allBut(place['x-needs'])).send(place.method, pathOf(place, '1'))
    t.equal(reply.status, 403, `${place.method} ${place.template} ${reply.text.slice(0, 100)}`)
  }
})

t.test('odd input is answered in the form of its API, never by an error of ours', async (t) => {
  function judge(place: Place, reply: Reply, what: string): void {
    const { method, template, dialect } = place
    t.ok(reply.status < 500, `${method} ${template} with ${what}: ${reply.status} ${reply.text.slice(0, 100)}`)
    if (reply.status < 400 || reply.text === '') return
    t.ok(isRefusal[dialect](reply.body as Body), `${method} ${template} with ${what}: ${reply.text.slice(0, 100)}`)
  }
  for (const place of places) {
    const schema = place.requestBody?.content['application/json']?.schema
    const inPath = place.template.includes('{') ? ['%00', '..%2fx', '9'.repeat(30)] : []
    const values = inPath.map(async (value) =>
      judge(place, await admin.send(place.method, pathOf(place, value)), value)
    )
    const bodies = (schema ? oddBodies(schema) : []).map(async (text) =>
      judge(place, await admin.send(place.method, pathOf(place, '0'), text, json), text.slice(0, 40))
    )
    await Promise.all([...values, ...bodies])
  }
})

const odd = [{ $gt: '' }, ['\ud800\u0000'], 1e300, '__proto__']
/** Fields of one body that are tried one by one, each with one odd value by turns; with all the story would take minutes. */
const mostFields = 24

/** A good one with odd values in all its fields, or in one of them, optional ones too, and what is no body at all. */
function oddBodies(schema: Schema): string[] {
  const good = sample(schema)
  const first = Array.isArray(good) || typeof good !== 'object' || good === null ? undefined : Object.keys(good)
  const all = first
    ? odd.map((value) => Object.fromEntries(first.map((name) => [name, value])))
    : odd.map((value) => [value])
  const fields = fieldsOf(schema).slice(0, mostFields)
  const single = fields.map((field, turn) =>
    sample(schema, (path) => (path.join('/') === field ? odd[turn % odd.length] : undefined))
  )
  return [
    ...[...all, ...single].map((value) => JSON.stringify(value)),
    '{"__proto__":{"a":1},"a.b":1}',
    '['.repeat(1000)
  ]
}

/** Names of fields, with those that they stand in; the outer ones first. */
function fieldsOf(schema: Schema, above: readonly string[] = []): string[] {
  const inner = Object.entries(((schema.items ?? schema) as Schema).properties ?? {}) as [string, Schema][]
  const paths = inner.map(([name]) => [...above, name])
  return [
    ...paths.map((path) => path.join('/')),
    ...(above.length < 3 ? inner.flatMap(([name, part]) => fieldsOf(part, [...above, name])) : [])
  ]
}
