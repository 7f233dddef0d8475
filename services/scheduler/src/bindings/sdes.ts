import { type Route, route, Type } from '@fleetgate/kit'
import { Count, Id, Ids } from '../sdesFields.js'
import type { Bindings } from './bindings.js'
import { type Kind, linkOf } from './links.js'
import type { BoundList } from './lists.js'

/** What all routes of one list share. */
interface Place {
  base: string
  Params: ReturnType<typeof paramsOf>
  idOf(params: unknown): number
  view: 'job.view' | 'client.view'
  edit: 'job.edit' | 'client.edit'
}

/** The routes of everything bound, alike in every direction: list, count, and where it is bound itself bind and remove. */
export function bindingRoutes(bindings: Bindings, lists: readonly BoundList[]): Route[] {
  return lists.flatMap((list) => {
    const place = placeOf(list.of, list.kind)
    return [...readRoutes(list, place), ...(linkOf(list.of, list.kind) ? changeRoutes(bindings, list, place) : [])]
  })
}

function paramsOf(of: Kind) {
  return Type.Object({ [`${of}Id`]: Id })
}

function placeOf(of: Kind, kind: Kind): Place {
  const isOfJobs = [of, kind].some((one) => one === 'job' || one === 'task')
  return {
    base: `/v1/${of}s/:${of}Id/${kind}s`,
    Params: paramsOf(of),
    idOf: (params) => (params as Record<string, number>)[`${of}Id`] ?? 0,
    view: isOfJobs ? 'job.view' : 'client.view',
    edit: isOfJobs ? 'job.edit' : 'client.edit'
  }
}

function readRoutes({ of, kind, Query, Page, list }: BoundList, { base, Params, idOf, view }: Place): Route[] {
  return [
    route({
      method: 'get',
      path: base,
      summary: `List the ${kind}s of a ${of}`,
      needs: view,
      params: Params,
      query: Query,
      reply: Page,
      handle: ({ params, query, caller }) => list(caller.tenantId, idOf(params), query)
    }),
    route({
      method: 'get',
      path: `${base}/count`,
      summary: `Count the ${kind}s of a ${of}`,
      needs: view,
      params: Params,
      reply: Count,
      handle: async ({ params, caller }) => {
        const { total } = await list(caller.tenantId, idOf(params), { pageNo: 1, pageSize: 1 })
        return { count: total }
      }
    })
  ]
}

/** PUT adds to what is bound; `/remove` takes away. */
function changeRoutes(bindings: Bindings, { of, kind }: BoundList, { base, Params, idOf, edit }: Place): Route[] {
  const change = (word: 'bind' | 'unbind') =>
    route({
      method: 'put',
      path: word === 'bind' ? base : `${base}/remove`,
      summary: word === 'bind' ? `Bind ${kind}s to a ${of}, beside those bound before` : `Take ${kind}s from a ${of}`,
      needs: edit,
      params: Params,
      body: Ids,
      reply: Type.Null(),
      handle: async ({ params, body, caller }) => {
        await bindings[word](caller.tenantId, { to: of, id: idOf(params), kind, ids: body })
        return null
      }
    })
  return [change('bind'), change('unbind')]
}
