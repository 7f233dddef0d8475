import * as gatewayApi from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1beta1'
import * as monitoring from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1'
import * as apps from 'kubernetes-models/apps/v1'
import * as autoscaling from 'kubernetes-models/autoscaling/v2'
import * as batch from 'kubernetes-models/batch/v1'
import * as networking from 'kubernetes-models/networking.k8s.io/v1'
import * as policy from 'kubernetes-models/policy/v1'
import * as core from 'kubernetes-models/v1'
import { emqxFlaw, partsOfEmqx } from './emqxOperator.js'
import { mongodbFlaw, partsOfMongodb } from './mongodbCommunity.js'
import type { KubeObject } from './objects.js'
import { watchReads } from './watchReads.js'

type Model = { new (): { validate(): void }; apiVersion: string }

const groups: Record<string, object> = {
  v1: core,
  'apps/v1': apps,
  'autoscaling/v2': autoscaling,
  'batch/v1': batch,
  'networking.k8s.io/v1': networking,
  'policy/v1': policy,
  'monitoring.coreos.com/v1': monitoring,
  // v1 has the fields of v1beta1 for the two kinds that are used here.
  'gateway.networking.k8s.io/v1': gatewayApi
}

/**
 * What the published schema of an object's kind finds wrong with it, a field that it does not know among that (as
 * `kubeconform -strict` does); a kind without a schema is wrong too.
 */
export function schemaFlaw(object: KubeObject): string | undefined {
  if (object.kind === 'MongoDBCommunity') {
    return mongodbFlaw(object) ?? partsOfMongodb(object).map(schemaFlaw).find(Boolean)
  }
  if (object.kind === 'EMQX') return emqxFlaw(object) ?? partsOfEmqx(object).map(schemaFlaw).find(Boolean)
  const models = groups[object.apiVersion] as Record<string, Model> | undefined
  const Kind = models?.[object.kind]
  if (!Kind) return `${object.apiVersion} ${object.kind} has no schema here`
  const { value, unread } = watchReads(Object.assign(new Kind(), object, { apiVersion: Kind.apiVersion }))
  try {
    value.validate()
  } catch (error) {
    return (error as Error).message
  }
  const unknown = unread()
  return unknown.length > 0 ? `unknown: ${unknown.join(', ')}` : undefined
}
