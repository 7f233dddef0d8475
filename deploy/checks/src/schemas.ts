import * as gatewayApi from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1beta1'
import * as monitoring from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1'
import * as apps from 'kubernetes-models/apps/v1'
import * as autoscaling from 'kubernetes-models/autoscaling/v2'
import * as batch from 'kubernetes-models/batch/v1'
import * as networking from 'kubernetes-models/networking.k8s.io/v1'
import * as policy from 'kubernetes-models/policy/v1'
import * as core from 'kubernetes-models/v1'
import type { KubeObject } from './objects.js'

type Model = new (data: object) => { validate(): void }

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

/** What the published schema of an object's kind finds wrong with it; `unknown` where there is no such schema. */
export function schemaFlaw(object: KubeObject): string | undefined {
  const models = groups[object.apiVersion] as Record<string, Model> | undefined
  const Kind = models?.[object.kind]
  if (!Kind) return 'unknown'
  const { apiVersion: _, kind: __, ...data } = object
  try {
    new Kind(data).validate()
    return undefined
  } catch (error) {
    return `${object.kind} ${object.metadata.name}: ${(error as Error).message}`
  }
}
