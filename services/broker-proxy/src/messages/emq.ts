import { oneOf, Type } from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
import type { Publish } from './publish.js'

const Body = Type.Object({
  topic: Type.String({ minLength: 1, maxLength: 4096 }),
  payload: Type.String({ default: '' }),
  qos: oneOf([0, 1, 2], { default: 0 }),
  retain: Type.Boolean({ default: false }),
  /** The sender to be named; web hooks alone are told it, as MQTT 3.1.1 names no senders. */
  client_id: Type.String({ default: 'http', maxLength: 256 })
})

/** EMQ REST v2, "publish / subscribe". */
export function emqMessageRoutes(publish: Publish): Route[] {
  return [
    route({
      method: 'post',
      path: '/api/v2/mqtt/publish',
      summary: 'Publish a message',
      needs: 'broker.edit',
      body: Body,
      handle: ({ body, caller }) => publish(caller.tenantId, body, body.client_id)
    })
  ]
}
