import { AppError, oneOf, Type } from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
import type { BrokerControl } from '../broker/brokerFacts.js'
import { isFilter } from '../broker/topics.js'

const target = {
  topic: Type.String({ minLength: 1, maxLength: 4096 }),
  client_id: Type.String({ minLength: 1, maxLength: 1024 })
}

/** EMQ REST v2, "publish / subscribe": subscriptions made and ended on behalf of a client. */
export function emqProxyRoutes(control: () => BrokerControl): Route[] {
  return [
    route({
      method: 'post',
      path: '/api/v2/mqtt/subscribe',
      summary: 'Subscribe on behalf of a client, within what its user may',
      needs: 'broker.edit',
      body: Type.Object({ ...target, qos: oneOf([0, 1, 2], { default: 0 }) }),
      handle: async ({ body: { topic, client_id, qos }, caller }) => {
        checkFilter(topic)
        await coded(control().subscribe(caller.tenantId, client_id, { filter: topic, qos }))
      }
    }),
    route({
      method: 'post',
      path: '/api/v2/mqtt/unsubscribe',
      summary: 'End a subscription of a client',
      needs: 'broker.edit',
      body: Type.Object(target),
      handle: async ({ body: { topic, client_id }, caller }) => {
        checkFilter(topic)
        await coded(control().unsubscribe(caller.tenantId, client_id, topic))
      }
    })
  ]
}

/** The original took names only here; wildcards are what its users asked for. */
function checkFilter(filter: string): void {
  if (!isFilter(filter)) throw new AppError('invalid_state', `validate topic: ${filter.slice(0, 200)} fail`)
}

/** Every refusal is 102 with HTTP 200 there; 403 is for the caller's own lack of permission. */
async function coded(work: Promise<void>): Promise<void> {
  try {
    await work
  } catch (cause) {
    const isRefusal = cause instanceof AppError && (cause.code === 'not_found' || cause.code === 'forbidden')
    throw isRefusal ? new AppError('invalid_state', cause.message, {}, { cause }) : cause
  }
}
