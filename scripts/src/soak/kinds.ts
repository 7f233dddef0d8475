import { createHash } from 'node:crypto'
import { sshKeyPair } from '@fleetgate/testkit'
import type { Ask } from './asker.js'

/** One kind of thing that people make, and how it is found again. */
export interface Kind {
  what: string
  make(name: string): Ask
  /** Of the answer; nothing where the answer says in its body that it was refused. */
  idOf(body: Body, name: string): string | undefined
  find(id: string, name: string): Ask
  /** Whether it is what was made. */
  isIt(text: string, name: string): boolean
  /** For kinds of which some are deleted again. */
  unmake?(id: string): Ask
}

export interface Body {
  code?: number
  data?: Record<string, string>
  [field: string]: unknown
}

export const users = '/v2/default/instances/default/users'
const names = (text: string, name: string) => text.includes(name)
const publicKey = (await sshKeyPair()).public

export const kinds: Kind[] = [
  {
    what: 'user',
    make: (name) => ({
      method: 'post',
      path: '/user/members',
      body: { email: `${name}@example.com`, nickname: name, password: 'Abcd1234!' }
    }),
    idOf: ({ data }) => data?.user_id,
    find: (_id, name) => ({ method: 'post', path: '/user/members/search', body: { keyword: name } }),
    isIt: names,
    unmake: (id) => ({ method: 'delete', path: `/user/members/${id}` })
  },
  {
    what: 'role',
    make: (name) => ({ method: 'post', path: '/user/roles', body: { name } }),
    idOf: ({ data }) => data?.role_id,
    find: (_id, name) => ({ method: 'post', path: '/user/roles/search', body: { keyword: name } }),
    isIt: names
  },
  {
    what: 'person of EMQ',
    make: (name) => ({
      method: 'post',
      path: '/api/v2/users',
      body: { username: name, password: 'Abcd1234!', tags: '' }
    }),
    idOf: ({ code }, name) => (code === 0 ? name : undefined),
    find: (id) => ({ method: 'get', path: `/api/v2/users/${id}` }),
    isIt: names
  },
  {
    what: 'device',
    make: (name) => ({
      method: 'post',
      path: '/device',
      body: { name, integration: 'ping', param_entities: { 'ping.integration.add_device.ip': addressOf(name) } }
    }),
    idOf: (_body, name) => name,
    find: (_id, name) => ({ method: 'post', path: '/device/search', body: { name } }),
    isIt: names
  },
  {
    what: 'entity',
    make: (name) => ({
      method: 'post',
      path: '/entity',
      body: { identifier: name, name, type: 'PROPERTY', access_mod: 'RW', value_type: 'LONG' }
    }),
    idOf: (_body, name) => name,
    find: (_id, name) => ({
      method: 'post',
      path: '/entity/search',
      body: { entity_keys: [`system.integration.${name}`] }
    }),
    isIt: names
  },
  {
    what: 'dashboard',
    make: (name) => ({ method: 'post', path: '/dashboard', body: { name } }),
    idOf: ({ data }) => data?.dashboard_id,
    find: () => ({ method: 'get', path: '/dashboard/dashboards' }),
    isIt: names,
    unmake: (id) => ({ method: 'delete', path: `/dashboard/${id}` })
  },
  {
    what: 'MQTT user',
    make: (name) => ({ method: 'post', path: users, body: { access_key: name, secret_key: 'Abcd1234!' } }),
    idOf: (_body, name) => name,
    find: (id) => ({ method: 'get', path: `${users}/${id}` }),
    isIt: names,
    unmake: (id) => ({ method: 'delete', path: `${users}/${id}` })
  },
  {
    what: 'public key',
    make: (name) => ({ method: 'post', path: '/v1/pubkey', body: { name, pubkeyValue: publicKey } }),
    idOf: ({ data }) => data?._id,
    find: (_id, name) => ({ method: 'get', path: `/v1/pubkey?name=${name}` }),
    isIt: names
  },
  {
    what: 'file',
    make: (name) => ({ method: 'post', path: `/v1/files?fileName=${name}`, body: contentOf(name) }),
    idOf: (_body, name) => createHash('sha256').update(contentOf(name)).digest('hex'),
    find: (id) => ({ method: 'get', path: `/v1/files/${id}` }),
    isIt: (text, name) => text === Buffer.from(contentOf(name)).toString(),
    unmake: (id) => ({ method: 'delete', path: `/v1/files/${id}` })
  },
  {
    what: 'group',
    make: (name) => ({ method: 'post', path: '/v1/groups', body: { type: 0, groupName: name } }),
    idOf: ({ groupId }) => String(groupId),
    find: (id) => ({ method: 'get', path: `/v1/groups/${id}/details` }),
    isIt: names,
    unmake: (id) => ({ method: 'delete', path: `/v1/groups/${id}` })
  },
  {
    what: 'client',
    make: (name) => ({ method: 'post', path: '/v1/clients', body: { mqttClientId: name } }),
    idOf: ({ clientId }) => String(clientId),
    find: (id) => ({ method: 'get', path: `/v1/clients/${id}/details` }),
    isIt: (text) => text.includes('"status"'),
    unmake: (id) => ({ method: 'delete', path: `/v1/clients/${id}` })
  },
  {
    what: 'task',
    make: (name) => ({
      method: 'post',
      path: '/v1/tasks',
      body: { taskName: name, description: '', priority: 0, disableValidation: false, enabled: true }
    }),
    idOf: ({ taskId }) => String(taskId),
    find: (id) => ({ method: 'get', path: `/v1/tasks/${id}/details` }),
    isIt: names
  }
]

function addressOf(name: string): string {
  const [a = 1, b = 1, c = 1] = createHash('sha256').update(name).digest()
  return `10.${a}.${b}.${c}`
}

function contentOf(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(`content of ${name}\n`.repeat(2_000)))
}
