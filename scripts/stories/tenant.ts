import { generateKeyPairSync } from 'node:crypto'
import { type Reply, type Session, until } from '@fleetgate/testkit'
import type { WishFor } from './sample.js'

export interface Tenant {
  /** The id of this tenant for a parameter of a path. */
  idOf(template: string, parameter: string): string
  /** This tenant's ids and keys for the fields of a body or a query. */
  wishFor(template: string): WishFor
}

export interface TenantOptions {
  session: Session
  id: string
  /** Stands in every name of the tenant, and in none of its ids and keys. */
  marker: string
  /** Ids that are counted in each tenant are those of a second one there: no other tenant has them by chance. */
  spare: boolean
}

/** No sample is it. */
export const secret = 'Other-9876!'
export const data = <T>(reply: Reply) => (reply.body as { data: T }).data
type Id = { id: string }

function ok(reply: Reply): Reply {
  if (reply.status >= 300) throw new Error(reply.text)
  return reply
}

/** One of everything in a tenant. */
export async function populate({ session, id, marker, spare }: TenantOptions): Promise<Tenant> {
  const post = async (path: string, body?: unknown) => ok(await session.post(path, body))
  const me = data<{ user_id: string }>(ok(await session.get('/user'))).user_id
  const people = await populatePeople({ session, id, marker, spare })
  const machines = await populateMachines({ session, id, marker, spare })
  const things = await populateThings({ session, id, marker, spare })
  const clusters = await populateClusters({ session, id, marker, spare })
  const credential = { user_id: me, description: marker }
  const made = await post('/v3.0/OS-CREDENTIAL/credentials', { credential })
  const accessKey = (made.body as { credential: { access: string } }).credential.access
  const resources = [{ id: things.dashboard, type: 'DASHBOARD' }]
  await post(`/user/roles/${people.role}/associate-resource`, { resources })
  const all = { ...people, ...machines, ...things, ...clusters, accessKey, me, tenant: id }
  return {
    idOf: (template, parameter) => pathId(all, template, parameter),
    wishFor: (template) => wishesOf(all, template)
  }
}

type Ids = Awaited<ReturnType<typeof populatePeople>> &
  Awaited<ReturnType<typeof populateMachines>> &
  Awaited<ReturnType<typeof populateThings>> &
  Awaited<ReturnType<typeof populateClusters>> & { accessKey: string; me: string; tenant: string }

async function populatePeople({ session, id, marker }: TenantOptions) {
  const post = async (path: string, body?: unknown) => ok(await session.post(path, body))
  const member = { email: `${marker}@example.com`, nickname: marker, password: secret }
  const user = data<{ user_id: string }>(await post('/user/members', member)).user_id
  const role = data<{ role_id: string }>(await post('/user/roles', { name: marker, description: marker })).role_id
  const page = { code: `page.of.${id}`, name: marker, type: 'MENU' }
  const menu = data<{ menu_id: string }>(await post('/user/menus', page)).menu_id
  const token = data<Id>(await post('/user/tokens', { name: marker, codes: ['job.view'] })).id
  await post(`/user/roles/${role}/associate-menu`, { menu_ids: [menu, '10001'] })
  await post(`/user/roles/${role}/associate-user`, { user_ids: [user] })
  const userName = `keeper.of.${id}`
  await post('/api/v2/users', { username: userName, password: secret, remark: marker })
  return { user, role, menu, token, userName }
}

async function populateMachines({ session, id, marker, spare }: TenantOptions) {
  const post = async (path: string, body?: unknown) => ok(await session.post(path, body))
  const names = spare ? ['spare', 'till'] : ['till']
  for (const name of names) {
    await post('/v1/groups', { type: 0, groupName: `${marker} ${name}` })
    await post('/v1/settings/attributes', { attributeName: `${marker} ${name}`, type: 0 })
    await post('/v1/jobs', { jobName: `${marker} ${name}` })
    await post('/v1/tasks', { taskName: `${marker} ${name}`, description: marker, enabled: true, priority: 0 })
    await post('/v1/clients', { mqttClientId: `${name}.of.${id}`, username: marker, ip: '127.0.0.1' })
    await post('/v1/clients/enrolments', { name: marker })
  }
  const counted = String(names.length)
  for (const bound of ['tasks', 'clients', 'groups'])
    ok(await session.put(`/v1/jobs/${counted}/${bound}`, [Number(counted)]))
  const machine = `machine_of_${id}`
  const topic_perms = [{ name: `${marker}/#`, perm: 'PUB|SUB' }]
  await post(`/v2/${id}/instances/default/users`, { access_key: machine, secret_key: secret, topic_perms })
  const stored = ok(await session.send('POST', `/v1/files?fileName=${marker}.txt`, marker))
  const { sha256 } = stored.body as { sha256: string }
  return { counted, client: `till.of.${id}`, machine, sha256, machines: names.length }
}

async function populateThings({ session, id, marker, spare }: TenantOptions) {
  const post = async (path: string, body?: unknown) => ok(await session.post(path, body))
  const dashboard = data<{ dashboard_id: string }>(await post('/dashboard', { name: marker })).dashboard_id
  const expires_at = Date.now() + 3_600_000
  const share = data<{ share_id: string }>(await post(`/dashboard/${dashboard}/share`, { expires_at })).share_id
  const param_entities = { 'ping.integration.add_device.ip': '127.0.0.9' }
  await post('/device', { name: marker, integration: 'ping', param_entities })
  const [device] = data<{ content: Id[] }>(await post('/device/search', {})).content
  const identifier = `spot_of_${id}`
  const custom = { identifier, name: marker, type: 'PROPERTY', access_mod: 'RW', value_type: 'STRING' }
  const entity = data<Id>(await post('/entity', custom)).id
  const entityKey = `system.integration.${identifier}`
  await post('/entity/property/update', { exchange: { [entityKey]: marker } })
  const on = { identifier: 'on', name: marker, type: 'PROPERTY', access_mod: 'R', value_type: 'BOOLEAN' }
  const kind = { name: marker, topic: `${marker}/{device}/state`, entities: [on] }
  const template = data<Id>(await post('/mqtt-device/device-template', kind)).id
  const login = { credentials_type: 'HTTP', access_key: `key of ${id}`, access_secret: `${marker}-${secret}` }
  const credentials = data<Id>(await post('/credentials', login)).id
  const flow = data<{ flow_id: string }>(
    await post('/workflow/flows/design', { ...designOf(marker), enabled: false })
  ).flow_id
  const group = data<Id>(await post('/device-group', { name: marker })).id
  const tag = data<Id>(await post('/entity/tags', { name: marker.slice(0, 25) })).id
  await post('/entity/tags/mapping', { operation: 'ADD', entity_ids: [entity], added_tag_ids: [tag] })
  await post('/device/move-to-group', { group_id: group, device_id_list: [device?.id] })
  // The fleet's machines become devices a little later than they are made.
  const count = spare ? 3 : 2
  await until(
    async () => data<{ content: unknown[] }>(await session.post('/device/search', {})).content.length === count,
    {
      what: 'the machines among the devices',
      deadlineMs: 20_000
    }
  )
  return { dashboard, share, device: device?.id ?? '', entity, entityKey, template, credentials, flow, group, tag }
}

export function designOf(name: string) {
  const entry = { entityConfigs: [{ identify: 'x', name, type: 'LONG', required: true }] }
  const node = {
    ...{ id: 'in', type: 'trigger', componentName: 'trigger', position: { x: 0, y: 0 } },
    data: { nodeName: name, parameters: entry }
  }
  const design = { nodes: [node], edges: [], viewport: { x: 0, y: 0, zoom: 1 } }
  return { name, remark: '', design_data: JSON.stringify(design) }
}

const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' }
})

/** Two hosts where nothing listens: the cluster fails, and stays for people to look at. */
export function clusterOf(name: string, network: number) {
  const host = (end: number) => ({
    ...{ ip: `127.0.${network}.${end}`, sshPort: 9, sshUser: 'root' },
    ...{ privateKey, privateNicName: 'eth0' }
  })
  return {
    ...{ name, profile: 'nats', type: 'customized', createCategory: 'compact' },
    ...{ masterCount: 1, sharedCount: 1, pureslaveCount: 0 },
    ...{ masterNodes: [host(1)], sharedNodes: [host(2)] }
  }
}

async function populateClusters({ session, marker, spare }: TenantOptions) {
  const post = async (path: string, body?: unknown) => ok(await session.post(path, body))
  type Made = { _id: string; operationId: string }
  await post('/v1/pubkey/userSelfCreate', { name: marker })
  const [pubkey] = data<Made[]>(ok(await session.get('/v1/pubkey')))
  const smtp = data<Made>(await post('/v1/smtp', { name: marker, address: 'smtp.example.com' }))._id
  const address = { name: marker, registry: `${marker}.example.com:5000` }
  const registry = data<Made>(await post('/v1/dockerregistries', address))._id
  const account = { name: marker, type: 'openstack', openstackInfo: { 'openstack-password': secret } }
  const provider = data<Made>(await post('/v1/provider', account))._id
  const cluster = data<Made>(await post('/v1/cluster', clusterOf(marker, spare ? 3 : 4)))
  const path = `/v1/cluster/${cluster._id}`
  await until(async () => data<{ status: string }>(await session.get(path)).status === 'FAILED', {
    what: 'the cluster to fail',
    deadlineMs: 60_000
  })
  const [host] = data<{ hostId: string }[]>(ok(await session.get(`${path}/hosts`)))
  const { _id, operationId } = cluster
  return {
    pubkey: pubkey?._id ?? '',
    smtp,
    registry,
    provider,
    cluster: _id,
    operation: operationId,
    host: host?.hostId ?? ''
  }
}

function pathId(ids: Ids, template: string, parameter: string): string {
  const byParameter: Record<string, string> = {
    ...{ project: ids.tenant, instance: 'default', node: 'fleetgate@127.0.0.1', sha256: ids.sha256 },
    ...{ share: ids.share, host_id: ids.host, access_key: ids.accessKey, username: ids.userName, user: ids.machine },
    ...{ clientid: ids.client, runId: '0'.repeat(32), account: `${ids.credentials}@${ids.tenant}`, path: 'in' }
  }
  const byTemplate: [RegExp, string][] = [
    // Who has a link may look, of whatever tenant: these are none.
    [/^\/dashboard\/shared/, 'there-is-no-such-link-anywhere'],
    [/^\/db-resource/, 'x'.repeat(32)],
    [/^\/dashboard/, ids.dashboard],
    [/^\/integration/, 'ping'],
    [/^\/public/, 'ping-logo.svg'],
    [/^\/device-group/, ids.group],
    [/^\/device/, ids.device],
    [/^\/entity\/tags/, ids.tag],
    [/^\/entity/, ids.entity],
    [/^\/mqtt-device/, ids.template],
    [/^\/credentials\/default/, 'HTTP'],
    [/^\/credentials/, ids.credentials],
    [/^\/workflow\/components/, 'trigger'],
    [/^\/workflow/, ids.flow],
    [/^\/user\/members/, ids.user],
    [/^\/user\/roles/, ids.role],
    [/^\/user\/menus/, ids.menu],
    [/^\/user\/tokens/, ids.token],
    [/downLoadKey/, ids.me],
    [/^\/v1\/pubkey/, ids.pubkey],
    [/^\/v1\/smtp/, ids.smtp],
    [/^\/v1\/cluster/, ids.cluster],
    [/^\/v1\/provider/, ids.provider],
    [/^\/v1\/operations/, ids.operation],
    [/^\/v1\/dockerregistries/, ids.registry],
    [/^\/v1\//, ids.counted],
    [/^\/(v2|api\/v2)\//, ids.client]
  ]
  const found = byParameter[parameter] ?? byTemplate.find(([pattern]) => pattern.test(template))?.[1]
  if (!found) throw new Error(`no id for ${parameter} of ${template}: give the tenant one of these`)
  return found
}

const isBinding = /^\/v1\/(jobs|tasks|groups|clients)\/\{\w+\}\/(jobs|tasks|groups|clients)(\/remove)?$/

function wishesOf(ids: Ids, template: string): WishFor {
  const counted = Number(ids.counted)
  const inLists: [RegExp, string][] = [
    [/^\/device\/search/, ids.device],
    [/^\/mqtt-device/, ids.template],
    [/^\/entity\/tags/, ids.tag],
    [/^\/entity\/export/, ids.entity],
    [/^\/credentials/, ids.credentials],
    [/\/pubkey$/, ids.pubkey],
    [/\/registry$/, ids.registry]
  ]
  const listed = inLists.find(([pattern]) => pattern.test(template))?.[1]
  const byName: Record<string, unknown> = {
    ...{ user_id: ids.user, user_ids: ids.user, user_id_list: ids.user, menu_ids: ids.menu, parent_id: ids.menu },
    ...{ resource_id: ids.dashboard, resource_type: 'DASHBOARD', dashboard_ids: ids.dashboard },
    ...{ group_id: ids.group, device_id_list: ids.device, ids: listed, id_list: listed },
    ...{ entity_id: ids.entity, entity_ids: ids.entity, exchange: { [ids.entityKey]: 'stolen' } },
    ...{ added_tag_ids: ids.tag, removed_tag_ids: ids.tag, workflow_id_list: ids.flow, integration: 'ping' },
    ...{
      clientId: counted,
      jobId: counted,
      taskId: counted,
      groupId: counted,
      groupIds: counted,
      attributeId: counted
    },
    ...{ optionIds: counted, targetId: counted, mqttClientId: ids.client, client_id: ids.client },
    ...{ pubkeyId: ids.pubkey, host_ids: ids.host, cluster_id: ids.cluster, providerId: ids.provider },
    ...{ jobName: 'stolen', taskName: 'stolen', groupName: 'stolen' },
    ...(template.endsWith('/users') ? {} : { username: ids.userName })
  }
  if (template === '/workflow/flows/design') Object.assign(byName, { id: ids.flow, ...designOf('stolen') })
  return (path) => {
    const place = path.join('.')
    if (place === 'resources.id') return ids.dashboard
    if (place === 'resources.type') return 'DASHBOARD'
    if (place === 'dockerRegistries._id') return ids.registry
    if (place === '') return isBinding.test(template) ? [counted] : undefined
    if (template === '/v1/clients/enrol' && place === 'clientId') return ids.client
    return byName[path.at(-1) ?? '']
  }
}
