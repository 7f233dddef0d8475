import {
  AppError,
  linkerPaging,
  linkerRange,
  oneOf,
  type Route,
  route,
  type Static,
  Type,
  toLinkerPage
} from '@fleetgate/kit'
import { ById, HexId, sortOf, UserId } from '../linkerFields.js'
import { type Category, categories } from '../profiles/profile.js'
import { providerTypes } from '../providers/driver.js'
import { clusterStatuses } from './cluster.js'
import { ClusterReply, type ShowClusters } from './clusterReply.js'
import type { ClusterFilter } from './clusterStore.js'
import type { Clusters } from './clusters.js'
import { Count, countCodes, Nodes, toNode } from './nodeFields.js'
import { optionFields, toOptions } from './optionFields.js'

/** The original's own pattern is not known; it allowed up to 15 characters. */
const ClusterName = Type.String({ pattern: '^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,13}[A-Za-z0-9])?$' })

export const RegistryRefs = Type.Array(Type.Object({ _id: HexId }), { maxItems: 50, default: [] })

const Draft = Type.Object({
  name: ClusterName,
  user_id: Type.Optional(UserId),
  masterCount: Count,
  sharedCount: Count,
  pureslaveCount: Count,
  masterNodes: Nodes,
  sharedNodes: Nodes,
  pureslaveNodes: Nodes,
  /** `customized` and `generic`: hosts that are there already. Otherwise the provider's type. */
  type: oneOf(['customized', 'generic', ...providerTypes], { default: 'customized' }),
  providerId: Type.Optional(Type.Union([HexId, Type.Literal('')])),
  /** An unknown one counts as compact, as it did. */
  createCategory: Type.String({ maxLength: 32, default: 'compact' }),
  /** Ours: what is installed. */
  profile: Type.Optional(Type.String({ maxLength: 64 })),
  ...optionFields,
  pubkeyId: Type.Optional(Type.Array(HexId, { maxItems: 50 })),
  dockerRegistries: RegistryRefs
})

const statusWords = [...clusterStatuses, 'unterminated'] as const
const fields = { name: 'name', status: 'status', time_create: 'createdAt', time_update: 'updatedAt' } as const
const sorts = [
  'name',
  '-name',
  'status',
  '-status',
  'time_create',
  '-time_create',
  'time_update',
  '-time_update'
] as const
const Search = Type.Object({
  ...linkerPaging,
  name: Type.Optional(Type.String({ maxLength: 64 })),
  user_id: Type.Optional(UserId),
  username: Type.Optional(Type.String({ maxLength: 254 })),
  status: Type.Optional(oneOf(statusWords)),
  sort: Type.Optional(oneOf(sorts))
})

export interface ClusterRoutesDeps {
  clusters: Clusters
  show: ShowClusters
  defaultProfile: string
}

export function clusterRoutes({ clusters, show, defaultProfile }: ClusterRoutesDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/cluster',
      summary: 'Make a cluster of hosts; `operationId` tells how far it is',
      needs: 'cluster.edit',
      body: Draft,
      fieldCodes: { ...countCodes, name: 'E50011', type: 'E50012' },
      bodyLimit: 8_000_000,
      reply: ClusterReply,
      handle: async ({ body, caller }) => {
        const category = categories.find((one) => one === body.createCategory)
        const made = await clusters.create(toDraft(body, category ?? 'compact', defaultProfile), caller)
        const warning = category ? {} : { warning: `createCategory ${body.createCategory} is not known: compact` }
        return { ...(await show.one(made)), ...warning }
      }
    }),
    route({
      method: 'get',
      path: '/v1/cluster',
      summary: 'List the clusters of the tenant',
      needs: 'cluster.view',
      query: Search,
      reply: Type.Array(ClusterReply),
      handle: async ({ query, caller }) => {
        const found = await clusters.list(toFilter(query), linkerRange(query), caller)
        return toLinkerPage(query, { items: await show.all(found.items, caller.tenantId), total: found.total })
      }
    }),
    route({
      method: 'get',
      path: '/v1/cluster/validate',
      summary: 'Whether a name is good and free',
      needs: 'cluster.view',
      query: Type.Object({ clustername: ClusterName, userid: Type.Optional(UserId) }),
      fieldCodes: { clustername: 'E50011' },
      handle: async ({ query, caller }) => clusters.validate(query.clustername, caller)
    }),
    route({
      method: 'get',
      path: '/v1/cluster/:id',
      summary: 'Read one cluster',
      needs: 'cluster.view',
      params: ById,
      reply: ClusterReply,
      handle: async ({ params, caller }) => show.one(await clusters.get(params.id, caller))
    }),
    route({
      method: 'delete',
      path: '/v1/cluster/:id',
      summary: 'Take the cluster off its hosts',
      needs: 'cluster.edit',
      params: ById,
      reply: Type.Array(Type.Never()),
      handle: async ({ params, caller }) => {
        await clusters.remove(params.id, caller)
        return []
      }
    }),
    route({
      method: 'post',
      path: '/v1/cluster/:id/apply',
      summary: 'Bring every host to what the cluster says, and to what the body says besides (ours)',
      needs: 'cluster.edit',
      params: ById,
      body: Type.Object(optionFields),
      reply: ClusterReply,
      handle: async ({ params, body, caller }) => show.one(await clusters.apply(params.id, toOptions(body), caller))
    })
  ]
}

const Ids = Type.Object({ ids: Type.Array(HexId, { minItems: 1, maxItems: 50 }) })

/** The keys and registries of a cluster. */
export function memberRoutes(clusters: Clusters): Route[] {
  const words = { pubkey: clusters.changePubkeys, registry: clusters.changeRegistries } as const
  return (['pubkey', 'registry'] as const).flatMap((word) => [
    route({
      method: 'post',
      path: `/v1/cluster/:id/${word}`,
      summary: `Give a ${word} to every host of the cluster`,
      needs: 'cluster.edit',
      params: ById,
      body: Ids,
      handle: async ({ params, body, caller }) => {
        await words[word](params.id, { add: body.ids }, caller)
      }
    }),
    route({
      method: 'delete',
      path: `/v1/cluster/:id/${word}`,
      summary: `Take a ${word} off every host of the cluster`,
      needs: 'cluster.edit',
      params: ById,
      body: Ids,
      handle: async ({ params, body, caller }) => {
        await words[word](params.id, { remove: body.ids }, caller)
      }
    })
  ])
}

function toDraft(body: Static<typeof Draft>, category: Category, defaultProfile: string) {
  return {
    name: body.name,
    userId: body.user_id,
    profile: body.profile ?? defaultProfile,
    category,
    cloud: cloudOf(body),
    options: toOptions(body),
    counts: { master: body.masterCount, shared: body.sharedCount, pureslave: body.pureslaveCount },
    nodes: {
      master: body.masterNodes.map(toNode),
      shared: body.sharedNodes.map(toNode),
      pureslave: body.pureslaveNodes.map(toNode)
    },
    pubkeys: body.pubkeyId ?? [],
    registries: body.dockerRegistries.map(({ _id }) => _id)
  }
}

function cloudOf({ type, providerId }: Static<typeof Draft>) {
  if (type === 'customized' || type === 'generic') return undefined
  if (!providerId) {
    throw new AppError('invalid_input', `providerId is required for type ${type}`, { field: 'providerId' })
  }
  return { type, providerId }
}

function toFilter({ name, user_id, username, status, sort = 'time_create' }: Static<typeof Search>): ClusterFilter {
  const statuses =
    status === 'unterminated' ? clusterStatuses.filter((one) => one !== 'TERMINATED') : status && [status]
  return { name, userId: user_id, owner: username, statuses, sort: sortOf(fields, sort) }
}
