import { oneOf, type Static, Type } from '@fleetgate/contracts'
import { dmsPaging, type Route, route } from '@fleetgate/kit'
import { dmsProject, instanceId, projectOf } from '../users/dmsPlace.js'

/** `reliability` is what the original called this engine first; both words are still taken as filters. */
const engines = ['rocketmq', 'reliability']

const Instance = Type.Object({
  instance_id: Type.String(),
  name: Type.String(),
  description: Type.String(),
  engine: Type.String(),
  engine_version: Type.String(),
  status: Type.String(),
  enable_acl: Type.Boolean()
})

const text = Type.Optional(Type.String({ maxLength: 256 }))
const Query = Type.Object({
  ...dmsPaging,
  engine: text,
  name: text,
  instance_id: text,
  status: text,
  exact_match_name: Type.Optional(oneOf(['true', 'false']))
})

/** DMS for RocketMQ, "instances": a project has one, the part of the broker that is its tenant's. */
export function dmsInstanceRoutes(version: string): Route[] {
  const instance: Static<typeof Instance> = {
    instance_id: instanceId,
    name: instanceId,
    description: 'MQTT broker',
    engine: 'reliability',
    engine_version: version,
    status: 'RUNNING',
    enable_acl: true
  }

  return [
    route({
      method: 'get',
      path: '/v2/:project/instances',
      summary: 'List the instances of a project',
      needs: 'mqtt_user.view',
      params: Type.Object(dmsProject),
      query: Query,
      reply: Type.Object({ instances: Type.Array(Instance), instance_num: Type.Integer() }),
      handle: ({ params, query, caller }) => {
        projectOf(params, caller)
        const found = isWanted(instance, query) ? [instance] : []
        return { instances: query.offset === 0 ? found : [], instance_num: found.length }
      }
    })
  ]
}

function isWanted(instance: Static<typeof Instance>, query: Static<typeof Query>): boolean {
  const { engine, name, instance_id, status } = query
  if (engine !== undefined && !engines.includes(engine)) return false
  if (instance_id !== undefined && instance_id !== instance.instance_id) return false
  if (status !== undefined && status !== instance.status) return false
  if (name === undefined) return true
  return query.exact_match_name === 'true' ? name === instance.name : instance.name.includes(name)
}
