import { AppError } from '@fleetgate/contracts'
import type { BrokerRules } from '../brokerDriver.js'
import type { BrokerControl } from '../brokerFacts.js'
import { parseShared } from '../topics.js'
import type { EmqxApi, EmqxSession } from './api.js'
import type { Door } from './door.js'
import type { Rights } from './rights.js'
import type { Surveys } from './survey.js'

export interface EmqxControlParts {
  api: Pick<EmqxApi, 'session' | 'subscribe' | 'unsubscribe'>
  door: Pick<Door, 'mayUse'>
  rights: Pick<Rights, 'recheckAbsent'>
  rules: Pick<BrokerRules, 'account'>
  surveys: Pick<Surveys, 'forget'>
}

/** Subscriptions made and ended at EMQX from outside. It asks nobody about them, so the client's rights are looked at here. */
export function createEmqxControl({ api, door, rights, rules, surveys }: EmqxControlParts): BrokerControl {
  const unknown = (clientId: string) => new AppError('not_found', `Clientid: ${clientId} not found`)

  async function find(tenantId: string, clientId: string): Promise<EmqxSession> {
    const session = await api.session(clientId)
    if (!session || rules.account(session.username)?.tenantId !== tenantId) throw unknown(clientId)
    return session
  }

  return {
    async subscribe(tenantId, clientId, wish) {
      const { username } = await find(tenantId, clientId)
      // The authorizer is asked about shared subscriptions by their topic.
      const topic = parseShared(wish.filter)?.filter ?? wish.filter
      if (!door.mayUse({ clientid: clientId, username, action: 'subscribe', topic })) {
        throw new AppError('forbidden', `${clientId} may not subscribe to ${wish.filter.slice(0, 200)}`)
      }
      try {
        await api.subscribe(clientId, wish)
      } catch (error) {
        throw error instanceof AppError && error.code === 'not_found' ? unknown(clientId) : error
      } finally {
        surveys.forget()
      }
    },

    async unsubscribe(tenantId, clientId, filter) {
      await find(tenantId, clientId)
      await api.unsubscribe(clientId, filter)
      surveys.forget()
    },

    async dropForbidden(username) {
      rights.recheckAbsent(username)
    }
  }
}
