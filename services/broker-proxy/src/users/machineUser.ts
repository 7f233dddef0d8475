import { createHash, randomBytes } from 'node:crypto'
import { AppError } from '@fleetgate/contracts'
import type { StoredUser, UserStore } from './userStore.js'
import type { Machine } from './users.js'

export interface MachineUserParts {
  store: Pick<UserStore, 'find' | 'insert' | 'takeOver' | 'update'>
  seal(user: { tenantId: string; accessKey: string }, secret: string): string
  now: () => number
}

export interface MachineWish {
  tenantId: string
  machine: Machine
  replace: boolean
}

/** Two that ask at once meet in the store; the one that comes second finds what the first has made. */
const maxTries = 3

/** Makes the user of a machine, or finds the one that the same grant has made. */
export async function provideMachineUser(
  { store, seal, now }: MachineUserParts,
  { tenantId, machine, replace }: MachineWish
): Promise<{ user: StoredUser; isNew: boolean }> {
  const accessKey = nameOf(tenantId, machine.clientId)
  const names = { tenantId, accessKey }
  for (let tries = 0; tries < maxTries; tries += 1) {
    const known = await store.find(accessKey)
    if (known?.machine?.grant === machine.grant) return { user: known, isNew: false }
    if (known && !replace) throw new AppError('conflict', `the machine ${machine.clientId} has an MQTT user already`)
    const sealedSecret = seal(names, newSecret())
    if (known) {
      const user = { ...known, machine, sealedSecret }
      if (await store.takeOver(known, { machine, sealedSecret })) return { user, isNew: true }
      continue
    }
    const user: StoredUser = { ...names, ...ownTopicsOnly, machine, sealedSecret, createdAt: now() }
    if (await insert(store, user)) return { user, isNew: true }
  }
  throw new AppError('conflict', `the MQTT user of ${machine.clientId} is being changed by others`)
}

/** Makes the user of a service of ours, or gives it this secret and these topics; a name of another tenant is a conflict. */
export async function keepAccount(
  { store, seal, now }: MachineUserParts,
  {
    tenantId,
    accessKey,
    secretKey,
    topics
  }: { tenantId: string; accessKey: string; secretKey: string; topics: string[] }
): Promise<void> {
  const names = { tenantId, accessKey }
  const topicPerms = topics.map((name) => ({ name, perm: 'PUB|SUB' as const }))
  const fields = { topicPerms, sealedSecret: seal(names, secretKey) }
  if (await insert(store, { ...names, ...ownTopicsOnly, ...fields, createdAt: now() })) return
  if (!(await store.update(tenantId, accessKey, fields)))
    throw new AppError('conflict', `the name ${accessKey} is taken`)
}

/** A client has the topics below its own id by itself; this grants nothing beyond. */
const ownTopicsOnly = {
  whiteRemoteAddress: '',
  admin: false,
  defaultTopicPerm: 'DENY' as const,
  defaultGroupPerm: 'DENY' as const,
  topicPerms: [],
  groupPerms: []
}

async function insert(store: Pick<UserStore, 'insert'>, user: StoredUser): Promise<boolean> {
  try {
    await store.insert(user)
    return true
  } catch (error) {
    if (error instanceof AppError && error.code === 'conflict') return false
    throw error
  }
}

/**
 * A name that no other machine of any tenant gets, and that a reader recognises: names of users are unique on the broker
 * and shorter and plainer than client ids may be.
 */
function nameOf(tenantId: string, clientId: string): string {
  const readable = clientId.replace(/[^A-Za-z0-9_-]/g, '').slice(0, 40)
  const digest = createHash('sha256').update(`${tenantId}/${clientId}`).digest('hex')
  return ['m', readable, digest.slice(0, 16)].filter(Boolean).join('-')
}

/** 168 random bits among one character of each kind that DMS asks for. */
function newSecret(): string {
  return `m${randomBytes(21).toString('base64url')}A1`
}
