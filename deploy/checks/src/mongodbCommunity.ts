import type { KubeObject } from './objects.js'
import { anything, count, list, name, object, strictCheck, text } from './strictCheck.js'

const reference = object({ name, key: text }, ['name'])

const roleNames = list(object({ db: text, name: text }, ['db', 'name']))
const resource = object({ db: text, collection: text, cluster: { type: 'boolean' }, anyResource: { type: 'boolean' } })
const privilege = object({ actions: list(text), resource }, ['actions', 'resource'])
const role = object(
  { role: text, db: text, privileges: list(privilege), roles: roleNames, authenticationRestrictions: list(anything) },
  ['role', 'db', 'privileges']
)

const user = object(
  {
    name: text,
    db: text,
    passwordSecretRef: reference,
    roles: roleNames,
    scramCredentialsSecretName: name,
    connectionStringSecretName: name,
    connectionStringSecretNamespace: text,
    connectionStringSecretAnnotations: anything,
    additionalConnectionStringConfig: anything
  },
  ['name', 'roles']
)

/** Fields of mongodbcommunity.mongodb.com/v1 as its operator 1.x documents them, those that are not used here as anything. */
const spec = object(
  {
    type: { enum: ['ReplicaSet'] },
    version: text,
    featureCompatibilityVersion: text,
    members: count,
    arbiters: count,
    clusterDomain: text,
    security: object(
      {
        authentication: object(
          {
            modes: list({ enum: ['SCRAM', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'X509'] }),
            agentMode: text,
            agentCertificateSecretRef: reference,
            ignoreUnknownUsers: { type: 'boolean' }
          },
          ['modes']
        ),
        roles: list(role),
        tls: anything
      },
      []
    ),
    users: list(user),
    statefulSet: object({ metadata: object({ labels: anything, annotations: anything }), spec: anything }, ['spec']),
    agent: anything,
    additionalConnectionStringConfig: anything,
    additionalMongodConfig: anything,
    automationConfig: anything,
    memberConfig: list(anything),
    prometheus: anything,
    replicaSetHorizons: list(anything)
  },
  ['security', 'type', 'users']
)

/** What is wrong with what the operator itself reads; undefined where nothing is. */
export const mongodbFlaw = strictCheck(spec)

/** The parts that the operator hands on to the cluster, as objects of the cluster's own kinds. */
export function partsOfMongodb({ spec, metadata }: KubeObject): KubeObject[] {
  const { statefulSet } = spec as { statefulSet?: { spec: StatefulSetSpec } }
  const { template, volumeClaimTemplates = [], ...rest } = statefulSet?.spec ?? {}
  const set = { ...rest, serviceName: metadata.name, selector: {}, template: template ?? { spec: { containers: [] } } }
  return [
    { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata, spec: set },
    ...volumeClaimTemplates.map((claim) => ({ ...claim, apiVersion: 'v1', kind: 'PersistentVolumeClaim' }))
  ]
}

interface StatefulSetSpec extends Record<string, unknown> {
  template?: object
  volumeClaimTemplates?: KubeObject[]
}
