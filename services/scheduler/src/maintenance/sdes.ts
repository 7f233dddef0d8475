import { AppError, may, oneOf, type Route, route, Type } from '@fleetgate/kit'
import type { Bindings } from '../bindings/bindings.js'
import { checkedLink, kinds } from '../bindings/links.js'
import { Id, Ids } from '../sdesFields.js'

const KindNumber = Type.Integer({ minimum: 0, maximum: kinds.length - 1 })
const Change = Type.Object({
  optionType: KindNumber,
  optionIds: Ids,
  targetType: KindNumber,
  targetId: Id,
  opt: oneOf([0, 1])
})

export function maintenanceRoutes(bindings: Bindings): Route[] {
  return [
    route({
      method: 'put',
      path: '/v1/config/maintenance',
      summary: 'Bind (`opt` 1) things to another, or take them away (0). Types: 0 job, 1 task, 2 group, 3 client',
      needs: ['job.edit', 'client.edit'],
      body: Change,
      reply: Change,
      handle: async ({ body, caller }) => {
        const { optionType, optionIds, targetType, targetId, opt } = body
        const [kind = 'job', to = 'job'] = [kinds[optionType], kinds[targetType]]
        const { owner } = checkedLink(to, kind, 'targetType')
        const code = owner === 'job' ? 'job.edit' : 'client.edit'
        if (!may(caller, code)) throw new AppError('forbidden', `not allowed: needs ${code}`)
        const change = { to, id: targetId, kind, ids: optionIds, idsField: 'optionIds', kindField: 'targetType' }
        await bindings[opt === 1 ? 'bind' : 'unbind'](caller.tenantId, change)
        return { optionType, optionIds, targetType, targetId, opt }
      }
    })
  ]
}
