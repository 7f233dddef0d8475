import { AppError, type Bus, createMachineUser, createRateLimit, type Log, type Role } from '@fleetgate/kit'
import type { Bindings } from '../bindings/bindings.js'
import type { ClientDraft } from '../clients/client.js'
import type { Clients } from '../clients/clients.js'
import { isQuery } from '../groups/group.js'
import type { GroupStore } from '../groups/groupStore.js'
import { type Enrolment, hashOf, isLive } from './enrolment.js'
import type { EnrolmentStore } from './enrolmentStore.js'
import { refuseWithoutUrl } from './enrolments.js'

export interface EnrolRequest {
  token: string
  mqttClientId: string
  role?: Role | undefined
  /** Where the request comes from. */
  address: string
}

/** All that a machine needs to connect. */
export interface Admission {
  mqttUrl: string
  username: string
  password: string
  clientId: string
  role: Role
  /** Certificate authority of the broker. */
  caPem?: string | undefined
}

export interface EnrolDeps {
  store: EnrolmentStore
  clients: Clients
  groups: Pick<GroupStore, 'findMany'>
  bindings: Pick<Bindings, 'bind'>
  bus: Pick<Bus, 'request'>
  mqttUrl: string
  caPem?: string | undefined
  attemptsPerMinute: number
  log: Log
  now: () => number
}

/**
 * Lets a machine in that shows a token. Its seat in the enrolment is taken first and finished last, so that a machine whose
 * answer was lost, or whose request died half way, asks again with the same token and client id and gets the rest.
 */
export function createEnrol(deps: EnrolDeps): (request: EnrolRequest) => Promise<Admission> {
  const { store, clients, groups, bindings, bus, mqttUrl, caPem, log, now } = deps
  const limit = createRateLimit({ perSecond: deps.attemptsPerMinute / 60, burst: deps.attemptsPerMinute })

  async function findClient(tenantId: string, mqttClientId: string): Promise<number | undefined> {
    const { items } = await clients.list({ tenantId, mqttClientIds: [mqttClientId] }, { offset: 0, limit: 1 })
    return items[0]?.clientId
  }

  async function takeSeat(enrolment: Enrolment, { token, mqttClientId, address }: EnrolRequest): Promise<void> {
    if (enrolment.left === 0) throw refused()
    if (!enrolment.replace && (await findClient(enrolment.tenantId, mqttClientId)) !== undefined) throw taken()
    if (await store.takeSeat(enrolment._id, { mqttClientId, address, takenAt: now() }, now())) return
    // The same machine may have asked twice at once: then it has the seat.
    const again = await store.findFor(hashOf(token), mqttClientId)
    if (!again || again.machines.length === 0) throw refused()
  }

  async function makeUser({ _id, tenantId, replace }: Enrolment, clientId: string) {
    try {
      return await bus.request(createMachineUser, { tenantId, clientId, grant: _id, replace })
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'conflict') throw error
      await store.giveSeatBack(_id, clientId)
      throw taken()
    }
  }

  /** A client that is there is the one that is replaced, or what an earlier try has left. */
  async function register(tenantId: string, draft: ClientDraft): Promise<number> {
    try {
      return (await clients.register(tenantId, draft)).clientId
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'conflict') throw error
    }
    const { username, enabled, role, isRoleFixed } = draft
    const clientId = await findClient(tenantId, draft.mqttClientId)
    if (clientId === undefined) throw new AppError('conflict', 'the client has just been deleted: ask again')
    await clients.change(tenantId, clientId, { username, enabled, ...(isRoleFixed ? { role, isRoleFixed } : {}) })
    return clientId
  }

  async function join(tenantId: string, clientId: number, groupIds: number[]): Promise<void> {
    // Groups that have been deleted since are nobody's loss.
    const left = (await groups.findMany(tenantId, groupIds)).filter(({ type }) => type !== isQuery)
    const ids = left.map(({ groupId }) => groupId)
    if (ids.length > 0) await bindings.bind(tenantId, { to: 'client', id: clientId, kind: 'group', ids })
  }

  return async (request) => {
    const { token, mqttClientId, address } = request
    const seconds = limit.take(address, now())
    if (seconds > 0) throw new AppError('rate_limited', 'too many attempts', { retryAfter: seconds })
    refuseWithoutUrl(mqttUrl)
    const enrolment = await store.findFor(hashOf(token), mqttClientId)
    if (!enrolment || !isLive(enrolment, now())) throw refused()
    const { _id, tenantId, groupIds } = enrolment
    const [seat] = enrolment.machines
    if (!seat) await takeSeat(enrolment, request)
    const user = await makeUser(enrolment, mqttClientId)
    const role = enrolment.role ?? request.role ?? 'STORE'
    const isRoleFixed = enrolment.role !== undefined
    if (seat?.enrolledAt === undefined) {
      const names = { mqttClientId, username: user.username, ip: address }
      await join(tenantId, await register(tenantId, { ...names, enabled: true, role, isRoleFixed }), groupIds)
      await store.finish(_id, mqttClientId, now())
      log.info({ tenantId, mqttClientId, enrolmentId: enrolment.enrolmentId, address }, 'machine enrolled')
    }
    return { mqttUrl, ...user, clientId: mqttClientId, role, ...(caPem ? { caPem } : {}) }
  }
}

/** The same for every reason: who guesses learns nothing. */
function refused(): AppError {
  return new AppError('forbidden', 'this token does not let a machine in')
}

function taken(): AppError {
  const message = 'a client with this clientId exists: an enrolment with replace lets it in again'
  return new AppError('conflict', message, { field: 'clientId' })
}
