import { AppError } from '@fleetgate/kit'
import type { Page, PageOf } from '@fleetgate/store'
import { isQuery } from '../groups/group.js'
import type { GroupStore } from '../groups/groupStore.js'
import { type Enrolment, type EnrolmentDraft, hashOf, newToken } from './enrolment.js'
import type { EnrolmentStore } from './enrolmentStore.js'

export interface Enrolments {
  /** The token is in this answer and nowhere else. */
  create(tenantId: string, draft: EnrolmentDraft): Promise<{ enrolment: Enrolment; token: string }>
  list(tenantId: string, page: Page): Promise<PageOf<Enrolment>>
  /** May be repeated. Machines that are enrolled stay so. */
  revoke(tenantId: string, enrolmentId: number): Promise<void>
}

export interface EnrolmentsDeps {
  store: EnrolmentStore
  groups: Pick<GroupStore, 'findMany' | 'unknownAmong'>
  /** Where machines find the broker; empty where nobody has said. */
  mqttUrl: string
  now: () => number
}

const keptMs = 90 * 86_400_000

export function createEnrolments({ store, groups, mqttUrl, now }: EnrolmentsDeps): Enrolments {
  async function checkGroups(tenantId: string, groupIds: number[]): Promise<void> {
    if (groupIds.length === 0) return
    const field = 'groupIds'
    const [unknown] = await groups.unknownAmong(tenantId, groupIds)
    if (unknown !== undefined) throw new AppError('invalid_input', `groupIds: no such group: ${unknown}`, { field })
    const query = (await groups.findMany(tenantId, groupIds)).find(({ type }) => type === isQuery)
    if (!query) return
    const reason = `the members of group ${query.groupId} are chosen by its query`
    throw new AppError('invalid_input', `groupIds: ${reason}`, { field })
  }

  return {
    async create(tenantId, { expiresInMs, ...draft }) {
      refuseWithoutUrl(mqttUrl)
      await checkGroups(tenantId, draft.groupIds)
      const token = newToken()
      const createdAt = now()
      const expiresAt = createdAt + expiresInMs
      const rest = { tenantId, tokenHash: hashOf(token), left: draft.uses, createdAt, expiresAt }
      const enrolment = await store.insert({ ...draft, ...rest, forgetAt: new Date(expiresAt + keptMs) })
      return { enrolment, token }
    },

    list: store.list,

    async revoke(tenantId, enrolmentId) {
      if (await store.revoke(tenantId, enrolmentId, now())) return
      throw new AppError('not_found', `enrolment ${enrolmentId} not found`)
    }
  }
}

export function refuseWithoutUrl(mqttUrl: string): void {
  if (mqttUrl !== '') return
  throw new AppError('invalid_state', 'the scheduler does not know where machines find the broker (MACHINE_MQTT_URL)')
}
