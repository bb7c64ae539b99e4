export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

export type Database = {
  public: {
    Tables: {
      agent_conversations: {
        Row: {
          agent_id: string;
          content: string;
          conversation_id: string;
          created_at: string;
          id: string;
          role: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          content: string;
          conversation_id: string;
          created_at?: string;
          id?: string;
          role: string;
          user_id: string;
        };
        Update: {
          agent_id?: string;
          content?: string;
          conversation_id?: string;
          created_at?: string;
          id?: string;
          role?: string;
          user_id?: string;
        };
        Relationships: [
          {
            foreignKeyName: "agent_conversations_agent_id_fkey";
            columns: ["agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
        ];
      };
      agent_events: {
        Row: {
          actor: string;
          agent_id: string;
          details: NonNullable<Json>;
          event_type: string;
          from_phase: string | null;
          generation: number | null;
          id: string;
          message: string;
          request_id: string | null;
          revision: number | null;
          seq: number;
          timestamp: string;
          to_phase: string | null;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          actor: string;
          agent_id: string;
          details?: NonNullable<Json>;
          event_type: string;
          from_phase?: string | null;
          generation?: number | null;
          id?: string;
          message: string;
          request_id?: string | null;
          revision?: number | null;
          seq: number;
          timestamp?: string;
          to_phase?: string | null;
          user_id: string;
        };
        Update: {
          actor?: string;
          agent_id?: string;
          details?: NonNullable<Json>;
          event_type?: string;
          from_phase?: string | null;
          generation?: number | null;
          id?: string;
          message?: string;
          request_id?: string | null;
          revision?: number | null;
          seq?: number;
          timestamp?: string;
          to_phase?: string | null;
          user_id?: string;
        };
        Relationships: [];
      };
      agent_keys: {
        Row: {
          agent_id: string;
          created_at: string;
          expires_at: string | null;
          id: string;
          last_used_at: string | null;
          name: string;
          origins: string[];
          prefix: string;
          revoked_at: string | null;
          scopes: string[];
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          created_at?: string;
          expires_at?: string | null;
          id?: string;
          last_used_at?: string | null;
          name: string;
          origins?: string[];
          prefix: string;
          revoked_at?: string | null;
          scopes: string[];
          user_id: string;
        };
        Update: {
          agent_id?: string;
          created_at?: string;
          expires_at?: string | null;
          id?: string;
          last_used_at?: string | null;
          name?: string;
          origins?: string[];
          prefix?: string;
          revoked_at?: string | null;
          scopes?: string[];
          user_id?: string;
        };
        Relationships: [
          {
            foreignKeyName: "agent_keys_agent_id_fkey";
            columns: ["agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
        ];
      };
      agent_logs: {
        Row: {
          agent_id: string;
          id: string;
          level: string;
          message: string;
          metadata: NonNullable<Json>;
          replica: string;
          sequence: number;
          source: string;
          timestamp: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          id?: string;
          level: string;
          message: string;
          metadata?: NonNullable<Json>;
          replica: string;
          sequence: number;
          source: string;
          timestamp: string;
          user_id: string;
        };
        Update: {
          agent_id?: string;
          id?: string;
          level?: string;
          message?: string;
          metadata?: NonNullable<Json>;
          replica?: string;
          sequence?: number;
          source?: string;
          timestamp?: string;
          user_id?: string;
        };
        Relationships: [];
      };
      agent_metrics: {
        Row: {
          agent_id: string;
          cpu_limit: number | null;
          cpu_usage: number | null;
          id: number;
          memory_limit: number | null;
          memory_usage: number | null;
          network_in: number | null;
          network_out: number | null;
          replica: string;
          request_rate: number | null;
          requests_errors: number | null;
          requests_success: number | null;
          requests_total: number | null;
          response_time_ms: number | null;
          sequence: number;
          timestamp: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          cpu_limit?: number | null;
          cpu_usage?: number | null;
          id?: never;
          memory_limit?: number | null;
          memory_usage?: number | null;
          network_in?: number | null;
          network_out?: number | null;
          replica: string;
          request_rate?: number | null;
          requests_errors?: number | null;
          requests_success?: number | null;
          requests_total?: number | null;
          response_time_ms?: number | null;
          sequence: number;
          timestamp: string;
          user_id: string;
        };
        Update: {
          agent_id?: string;
          cpu_limit?: number | null;
          cpu_usage?: number | null;
          id?: never;
          memory_limit?: number | null;
          memory_usage?: number | null;
          network_in?: number | null;
          network_out?: number | null;
          replica?: string;
          request_rate?: number | null;
          requests_errors?: number | null;
          requests_success?: number | null;
          requests_total?: number | null;
          response_time_ms?: number | null;
          sequence?: number;
          timestamp?: string;
          user_id?: string;
        };
        Relationships: [];
      };
      agent_metrics_hour: {
        Row: {
          agent_id: string;
          cpu_limit: number | null;
          cpu_max: number | null;
          cpu_usage: number | null;
          memory_limit: number | null;
          memory_max: number | null;
          memory_usage: number | null;
          network_in: number | null;
          network_out: number | null;
          replicas: number;
          requests_errors: number | null;
          requests_success: number | null;
          requests_total: number | null;
          response_time_ms: number | null;
          samples: number;
          timestamp: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          cpu_limit?: number | null;
          cpu_max?: number | null;
          cpu_usage?: number | null;
          memory_limit?: number | null;
          memory_max?: number | null;
          memory_usage?: number | null;
          network_in?: number | null;
          network_out?: number | null;
          replicas: number;
          requests_errors?: number | null;
          requests_success?: number | null;
          requests_total?: number | null;
          response_time_ms?: number | null;
          samples: number;
          timestamp: string;
          user_id: string;
        };
        Update: {
          agent_id?: string;
          cpu_limit?: number | null;
          cpu_max?: number | null;
          cpu_usage?: number | null;
          memory_limit?: number | null;
          memory_max?: number | null;
          memory_usage?: number | null;
          network_in?: number | null;
          network_out?: number | null;
          replicas?: number;
          requests_errors?: number | null;
          requests_success?: number | null;
          requests_total?: number | null;
          response_time_ms?: number | null;
          samples?: number;
          timestamp?: string;
          user_id?: string;
        };
        Relationships: [];
      };
      agent_metrics_minute: {
        Row: {
          agent_id: string;
          cpu_limit: number | null;
          cpu_max: number | null;
          cpu_usage: number | null;
          memory_limit: number | null;
          memory_max: number | null;
          memory_usage: number | null;
          network_in: number | null;
          network_out: number | null;
          replicas: number;
          requests_errors: number | null;
          requests_success: number | null;
          requests_total: number | null;
          response_time_ms: number | null;
          samples: number;
          timestamp: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          cpu_limit?: number | null;
          cpu_max?: number | null;
          cpu_usage?: number | null;
          memory_limit?: number | null;
          memory_max?: number | null;
          memory_usage?: number | null;
          network_in?: number | null;
          network_out?: number | null;
          replicas: number;
          requests_errors?: number | null;
          requests_success?: number | null;
          requests_total?: number | null;
          response_time_ms?: number | null;
          samples: number;
          timestamp: string;
          user_id: string;
        };
        Update: {
          agent_id?: string;
          cpu_limit?: number | null;
          cpu_max?: number | null;
          cpu_usage?: number | null;
          memory_limit?: number | null;
          memory_max?: number | null;
          memory_usage?: number | null;
          network_in?: number | null;
          network_out?: number | null;
          replicas?: number;
          requests_errors?: number | null;
          requests_success?: number | null;
          requests_total?: number | null;
          response_time_ms?: number | null;
          samples?: number;
          timestamp?: string;
          user_id?: string;
        };
        Relationships: [];
      };
      agent_revisions: {
        Row: {
          agent_id: string;
          created_at: string;
          created_by: string;
          reason: string;
          resolved_plugins: Json | null;
          revision: number;
          spec: NonNullable<Json>;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          created_at?: string;
          created_by: string;
          reason: string;
          resolved_plugins?: Json | null;
          revision: number;
          spec: NonNullable<Json>;
          user_id: string;
        };
        Update: {
          agent_id?: string;
          created_at?: string;
          created_by?: string;
          reason?: string;
          resolved_plugins?: Json | null;
          revision?: number;
          spec?: NonNullable<Json>;
          user_id?: string;
        };
        Relationships: [];
      };
      agent_secrets: {
        Row: {
          agent_id: string;
          created_at: string;
          name: string;
          updated_at: string;
          user_id: string;
          vault_id: string;
          version: number;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          created_at?: string;
          name: string;
          updated_at?: string;
          user_id: string;
          vault_id: string;
          version?: number;
        };
        Update: {
          agent_id?: string;
          created_at?: string;
          name?: string;
          updated_at?: string;
          user_id?: string;
          vault_id?: string;
          version?: number;
        };
        Relationships: [];
      };
      agent_tools: {
        Row: {
          agent_id: string;
          configuration: NonNullable<Json>;
          created_at: string;
          enabled: boolean;
          id: string;
          tool_id: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          configuration?: NonNullable<Json>;
          created_at?: string;
          enabled?: boolean;
          id?: string;
          tool_id: string;
          user_id?: string;
        };
        Update: {
          agent_id?: string;
          configuration?: NonNullable<Json>;
          created_at?: string;
          enabled?: boolean;
          id?: string;
          tool_id?: string;
          user_id?: string;
        };
        Relationships: [
          {
            foreignKeyName: "agent_tools_agent_id_fkey";
            columns: ["agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "agent_tools_tool_id_fkey";
            columns: ["tool_id"];
            isOneToOne: false;
            referencedRelation: "tools";
            referencedColumns: ["id"];
          },
        ];
      };
      agents: {
        Row: {
          avatar: string | null;
          character: Json | null;
          created_at: string;
          deleted_at: string | null;
          deployed_at: string | null;
          description: string | null;
          framework: string;
          id: string;
          idle: Json | null;
          max_tokens_per_day: number | null;
          model: string | null;
          name: string;
          platforms: string[];
          plugins: string[];
          replicas: number;
          resources: NonNullable<Json>;
          role: string | null;
          scaling_policy: Json | null;
          settings: NonNullable<Json>;
          status: string;
          supabase_config: Json | null;
          system_prompt: string | null;
          updated_at: string;
          url: string | null;
          user_id: string;
          visibility: string;
        };
        ComputedFields: never;
        Insert: {
          avatar?: string | null;
          character?: Json | null;
          created_at?: string;
          deleted_at?: string | null;
          deployed_at?: string | null;
          description?: string | null;
          framework?: string;
          id?: string;
          idle?: Json | null;
          max_tokens_per_day?: number | null;
          model?: string | null;
          name: string;
          platforms?: string[];
          plugins?: string[];
          replicas?: number;
          resources?: NonNullable<Json>;
          role?: string | null;
          scaling_policy?: Json | null;
          settings?: NonNullable<Json>;
          status?: string;
          supabase_config?: Json | null;
          system_prompt?: string | null;
          updated_at?: string;
          url?: string | null;
          user_id?: string;
          visibility?: string;
        };
        Update: {
          avatar?: string | null;
          character?: Json | null;
          created_at?: string;
          deleted_at?: string | null;
          deployed_at?: string | null;
          description?: string | null;
          framework?: string;
          id?: string;
          idle?: Json | null;
          max_tokens_per_day?: number | null;
          model?: string | null;
          name?: string;
          platforms?: string[];
          plugins?: string[];
          replicas?: number;
          resources?: NonNullable<Json>;
          role?: string | null;
          scaling_policy?: Json | null;
          settings?: NonNullable<Json>;
          status?: string;
          supabase_config?: Json | null;
          system_prompt?: string | null;
          updated_at?: string;
          url?: string | null;
          user_id?: string;
          visibility?: string;
        };
        Relationships: [
          {
            foreignKeyName: "agents_framework_fkey";
            columns: ["framework"];
            isOneToOne: false;
            referencedRelation: "frameworks";
            referencedColumns: ["name"];
          },
          {
            foreignKeyName: "agents_model_fkey";
            columns: ["framework", "model"];
            isOneToOne: false;
            referencedRelation: "models";
            referencedColumns: ["framework", "name"];
          },
        ];
      };
      answer_steps: {
        Row: {
          agent_id: string;
          arguments: Json | null;
          cached_input_tokens: number | null;
          error: Json | null;
          id: string;
          index: number;
          input_tokens: number | null;
          kind: string;
          message_id: string;
          milliseconds: number;
          name: string;
          output_tokens: number | null;
          result: string | null;
          started_at: string;
          status: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          arguments?: Json | null;
          cached_input_tokens?: number | null;
          error?: Json | null;
          id?: string;
          index: number;
          input_tokens?: number | null;
          kind: string;
          message_id: string;
          milliseconds: number;
          name: string;
          output_tokens?: number | null;
          result?: string | null;
          started_at: string;
          status: string;
          user_id: string;
        };
        Update: {
          agent_id?: string;
          arguments?: Json | null;
          cached_input_tokens?: number | null;
          error?: Json | null;
          id?: string;
          index?: number;
          input_tokens?: number | null;
          kind?: string;
          message_id?: string;
          milliseconds?: number;
          name?: string;
          output_tokens?: number | null;
          result?: string | null;
          started_at?: string;
          status?: string;
          user_id?: string;
        };
        Relationships: [
          {
            foreignKeyName: "answer_steps_agent_id_fkey";
            columns: ["agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
        ];
      };
      budgets: {
        Row: {
          action: string;
          agent_id: string | null;
          created_at: string;
          id: string;
          limit_micros: number;
          period: string;
          reached_for: string | null;
          scope: string | null;
          updated_at: string;
          user_id: string;
          warn_at: number;
          warned_for: string | null;
        };
        ComputedFields: never;
        Insert: {
          action?: string;
          agent_id?: string | null;
          created_at?: string;
          id?: string;
          limit_micros: number;
          period: string;
          reached_for?: string | null;
          scope?: never;
          updated_at?: string;
          user_id: string;
          warn_at?: number;
          warned_for?: string | null;
        };
        Update: {
          action?: string;
          agent_id?: string | null;
          created_at?: string;
          id?: string;
          limit_micros?: number;
          period?: string;
          reached_for?: string | null;
          scope?: never;
          updated_at?: string;
          user_id?: string;
          warn_at?: number;
          warned_for?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "budgets_agent_id_fkey";
            columns: ["agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
        ];
      };
      frameworks: {
        Row: {
          created_at: string;
          default_model: string;
          name: string;
        };
        ComputedFields: never;
        Insert: {
          created_at?: string;
          default_model: string;
          name: string;
        };
        Update: {
          created_at?: string;
          default_model?: string;
          name?: string;
        };
        Relationships: [
          {
            foreignKeyName: "frameworks_default_model_fkey";
            columns: ["name", "default_model"];
            isOneToOne: false;
            referencedRelation: "models";
            referencedColumns: ["framework", "name"];
          },
        ];
      };
      knowledge_files: {
        Row: {
          agent_id: string;
          bytes: number;
          chunks: number;
          error: string | null;
          id: string;
          indexed_at: string | null;
          path: string;
          status: string;
          updated_at: string;
          user_id: string;
          version: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          bytes?: number;
          chunks?: number;
          error?: string | null;
          id?: string;
          indexed_at?: string | null;
          path: string;
          status?: string;
          updated_at?: string;
          user_id: string;
          version: string;
        };
        Update: {
          agent_id?: string;
          bytes?: number;
          chunks?: number;
          error?: string | null;
          id?: string;
          indexed_at?: string | null;
          path?: string;
          status?: string;
          updated_at?: string;
          user_id?: string;
          version?: string;
        };
        Relationships: [
          {
            foreignKeyName: "knowledge_files_agent_id_fkey";
            columns: ["agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
        ];
      };
      messages: {
        Row: {
          agent_id: string | null;
          content: string;
          conversation_id: string | null;
          created_at: string;
          error: Json | null;
          id: string;
          input_tokens: number | null;
          model: string | null;
          output_tokens: number | null;
          reply_to: string | null;
          root_id: string | null;
          sender_deleted: boolean;
          sender_kind: string;
          sender_name: string | null;
          silence: string | null;
          sources: Json | null;
          status: string;
          swarm_id: string | null;
          to_agent_id: string | null;
          turn: number;
          user_id: string;
          warnings: NonNullable<Json>;
        };
        ComputedFields: never;
        Insert: {
          agent_id?: string | null;
          content: string;
          conversation_id?: string | null;
          created_at?: string;
          error?: Json | null;
          id?: string;
          input_tokens?: number | null;
          model?: string | null;
          output_tokens?: number | null;
          reply_to?: string | null;
          root_id?: string | null;
          sender_deleted?: boolean;
          sender_kind?: string;
          sender_name?: string | null;
          silence?: string | null;
          sources?: Json | null;
          status?: string;
          swarm_id?: string | null;
          to_agent_id?: string | null;
          turn?: number;
          user_id?: string;
          warnings?: NonNullable<Json>;
        };
        Update: {
          agent_id?: string | null;
          content?: string;
          conversation_id?: string | null;
          created_at?: string;
          error?: Json | null;
          id?: string;
          input_tokens?: number | null;
          model?: string | null;
          output_tokens?: number | null;
          reply_to?: string | null;
          root_id?: string | null;
          sender_deleted?: boolean;
          sender_kind?: string;
          sender_name?: string | null;
          silence?: string | null;
          sources?: Json | null;
          status?: string;
          swarm_id?: string | null;
          to_agent_id?: string | null;
          turn?: number;
          user_id?: string;
          warnings?: NonNullable<Json>;
        };
        Relationships: [
          {
            foreignKeyName: "messages_agent_id_fkey";
            columns: ["agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "messages_reply_to_fkey";
            columns: ["reply_to"];
            isOneToOne: false;
            referencedRelation: "messages";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "messages_swarm_id_fkey";
            columns: ["swarm_id"];
            isOneToOne: false;
            referencedRelation: "swarms";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "messages_to_agent_id_fkey";
            columns: ["to_agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
        ];
      };
      model_prices: {
        Row: {
          cached_input_micros_per_million: number;
          framework: string;
          input_micros_per_million: number;
          model: string;
          output_micros_per_million: number;
          valid_from: string;
        };
        ComputedFields: never;
        Insert: {
          cached_input_micros_per_million: number;
          framework: string;
          input_micros_per_million: number;
          model: string;
          output_micros_per_million: number;
          valid_from?: string;
        };
        Update: {
          cached_input_micros_per_million?: number;
          framework?: string;
          input_micros_per_million?: number;
          model?: string;
          output_micros_per_million?: number;
          valid_from?: string;
        };
        Relationships: [
          {
            foreignKeyName: "model_prices_framework_fkey";
            columns: ["framework"];
            isOneToOne: false;
            referencedRelation: "frameworks";
            referencedColumns: ["name"];
          },
        ];
      };
      models: {
        Row: {
          api: string | null;
          calls_tools: boolean | null;
          created_at: string;
          framework: string;
          max_output_tokens: number | null;
          max_stops: number | null;
          max_temperature: number | null;
          name: string;
          refused_when_retired: boolean;
          retires_at: string | null;
          successor: string | null;
          takes: string[] | null;
          takes_blank_stops: boolean | null;
          takes_temperature_with_top_p: boolean | null;
          thinks: string | null;
        };
        ComputedFields: never;
        Insert: {
          api?: string | null;
          calls_tools?: boolean | null;
          created_at?: string;
          framework: string;
          max_output_tokens?: number | null;
          max_stops?: number | null;
          max_temperature?: number | null;
          name: string;
          refused_when_retired?: boolean;
          retires_at?: string | null;
          successor?: string | null;
          takes?: string[] | null;
          takes_blank_stops?: boolean | null;
          takes_temperature_with_top_p?: boolean | null;
          thinks?: string | null;
        };
        Update: {
          api?: string | null;
          calls_tools?: boolean | null;
          created_at?: string;
          framework?: string;
          max_output_tokens?: number | null;
          max_stops?: number | null;
          max_temperature?: number | null;
          name?: string;
          refused_when_retired?: boolean;
          retires_at?: string | null;
          successor?: string | null;
          takes?: string[] | null;
          takes_blank_stops?: boolean | null;
          takes_temperature_with_top_p?: boolean | null;
          thinks?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "models_framework_fkey";
            columns: ["framework"];
            isOneToOne: false;
            referencedRelation: "frameworks";
            referencedColumns: ["name"];
          },
        ];
      };
      profiles: {
        Row: {
          created_at: string;
          notification_preferences: NonNullable<Json>;
          updated_at: string;
          user_id: string;
          username: string | null;
        };
        ComputedFields: never;
        Insert: {
          created_at?: string;
          notification_preferences?: NonNullable<Json>;
          updated_at?: string;
          user_id: string;
          username?: string | null;
        };
        Update: {
          created_at?: string;
          notification_preferences?: NonNullable<Json>;
          updated_at?: string;
          user_id?: string;
          username?: string | null;
        };
        Relationships: [];
      };
      quotas: {
        Row: {
          agent_class: string;
          block_critical_findings: boolean;
          max_agents: number;
          max_cpu: number;
          max_files: number;
          max_knowledge_bytes: number;
          max_knowledge_chunks: number;
          max_memory: number;
          max_replicas: number;
          max_storage: number;
          max_tokens_per_day: number;
          updated_at: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_class?: string;
          block_critical_findings?: boolean;
          max_agents?: number;
          max_cpu?: number;
          max_files?: number;
          max_knowledge_bytes?: number;
          max_knowledge_chunks?: number;
          max_memory?: number;
          max_replicas?: number;
          max_storage?: number;
          max_tokens_per_day?: number;
          updated_at?: string;
          user_id: string;
        };
        Update: {
          agent_class?: string;
          block_critical_findings?: boolean;
          max_agents?: number;
          max_cpu?: number;
          max_files?: number;
          max_knowledge_bytes?: number;
          max_knowledge_chunks?: number;
          max_memory?: number;
          max_replicas?: number;
          max_storage?: number;
          max_tokens_per_day?: number;
          updated_at?: string;
          user_id?: string;
        };
        Relationships: [];
      };
      rate_limits: {
        Row: {
          bucket: string;
          max_requests: number;
          window_seconds: number;
        };
        ComputedFields: never;
        Insert: {
          bucket: string;
          max_requests: number;
          window_seconds: number;
        };
        Update: {
          bucket?: string;
          max_requests?: number;
          window_seconds?: number;
        };
        Relationships: [];
      };
      row_quotas: {
        Row: {
          max_bytes: number;
          max_rows: number;
          relation: string;
        };
        ComputedFields: never;
        Insert: {
          max_bytes: number;
          max_rows: number;
          relation: string;
        };
        Update: {
          max_bytes?: number;
          max_rows?: number;
          relation?: string;
        };
        Relationships: [];
      };
      security_events: {
        Row: {
          agent_id: string | null;
          automated_response: Json | null;
          details: NonNullable<Json>;
          event_type: string;
          id: string;
          ip_address: unknown;
          message: string;
          severity: string;
          timestamp: string;
          user_agent: string | null;
          user_id: string | null;
        };
        ComputedFields: never;
        Insert: {
          agent_id?: string | null;
          automated_response?: Json | null;
          details?: NonNullable<Json>;
          event_type: string;
          id?: string;
          ip_address?: unknown;
          message: string;
          severity: string;
          timestamp?: string;
          user_agent?: string | null;
          user_id?: string | null;
        };
        Update: {
          agent_id?: string | null;
          automated_response?: Json | null;
          details?: NonNullable<Json>;
          event_type?: string;
          id?: string;
          ip_address?: unknown;
          message?: string;
          severity?: string;
          timestamp?: string;
          user_agent?: string | null;
          user_id?: string | null;
        };
        Relationships: [];
      };
      security_scans: {
        Row: {
          agent_id: string;
          findings: NonNullable<Json>;
          id: string;
          passed: boolean;
          results: NonNullable<Json>;
          scanned_at: string;
          status: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          findings?: NonNullable<Json>;
          id?: string;
          passed: boolean;
          results: NonNullable<Json>;
          scanned_at?: string;
          status: string;
          user_id: string;
        };
        Update: {
          agent_id?: string;
          findings?: NonNullable<Json>;
          id?: string;
          passed?: boolean;
          results?: NonNullable<Json>;
          scanned_at?: string;
          status?: string;
          user_id?: string;
        };
        Relationships: [];
      };
      storage_usage: {
        Row: {
          agent_id: string;
          bytes: number;
          files: number;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          bytes: number;
          files: number;
          user_id: string;
        };
        Update: {
          agent_id?: string;
          bytes?: number;
          files?: number;
          user_id?: string;
        };
        Relationships: [];
      };
      swarm_agents: {
        Row: {
          agent_id: string;
          created_at: string;
          position: number;
          swarm_id: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          created_at?: string;
          position: number;
          swarm_id: string;
          user_id?: string;
        };
        Update: {
          agent_id?: string;
          created_at?: string;
          position?: number;
          swarm_id?: string;
          user_id?: string;
        };
        Relationships: [
          {
            foreignKeyName: "swarm_agents_agent_id_fkey";
            columns: ["agent_id"];
            isOneToOne: false;
            referencedRelation: "agents";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "swarm_agents_swarm_id_fkey";
            columns: ["swarm_id"];
            isOneToOne: false;
            referencedRelation: "swarms";
            referencedColumns: ["id"];
          },
        ];
      };
      swarms: {
        Row: {
          created_at: string;
          description: string | null;
          id: string;
          max_turns: number;
          name: string;
          reply_mode: string;
          updated_at: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          created_at?: string;
          description?: string | null;
          id?: string;
          max_turns?: number;
          name: string;
          reply_mode?: string;
          updated_at?: string;
          user_id?: string;
        };
        Update: {
          created_at?: string;
          description?: string | null;
          id?: string;
          max_turns?: number;
          name?: string;
          reply_mode?: string;
          updated_at?: string;
          user_id?: string;
        };
        Relationships: [];
      };
      tools: {
        Row: {
          category: string | null;
          created_at: string;
          description: string;
          icon: string | null;
          id: string;
          implementation: NonNullable<Json>;
          input_schema: NonNullable<Json>;
          name: string;
          updated_at: string;
          user_id: string | null;
        };
        ComputedFields: never;
        Insert: {
          category?: string | null;
          created_at?: string;
          description: string;
          icon?: string | null;
          id?: string;
          implementation: NonNullable<Json>;
          input_schema?: NonNullable<Json>;
          name: string;
          updated_at?: string;
          user_id?: string | null;
        };
        Update: {
          category?: string | null;
          created_at?: string;
          description?: string;
          icon?: string | null;
          id?: string;
          implementation?: NonNullable<Json>;
          input_schema?: NonNullable<Json>;
          name?: string;
          updated_at?: string;
          user_id?: string | null;
        };
        Relationships: [];
      };
      usage_daily: {
        Row: {
          agent_id: string;
          answers: number;
          cached_input_tokens: number;
          cost_micros: number;
          day: string;
          input_tokens: number;
          model: string;
          output_tokens: number;
          source: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          agent_id: string;
          answers?: number;
          cached_input_tokens?: number;
          cost_micros?: number;
          day: string;
          input_tokens?: number;
          model?: string;
          output_tokens?: number;
          source?: string;
          user_id: string;
        };
        Update: {
          agent_id?: string;
          answers?: number;
          cached_input_tokens?: number;
          cost_micros?: number;
          day?: string;
          input_tokens?: number;
          model?: string;
          output_tokens?: number;
          source?: string;
          user_id?: string;
        };
        Relationships: [];
      };
      user_permissions: {
        Row: {
          granted_at: string;
          permission: string;
          user_id: string;
        };
        ComputedFields: never;
        Insert: {
          granted_at?: string;
          permission: string;
          user_id: string;
        };
        Update: {
          granted_at?: string;
          permission?: string;
          user_id?: string;
        };
        Relationships: [];
      };
      user_secrets: {
        Row: {
          created_at: string;
          name: string;
          updated_at: string;
          user_id: string;
          vault_id: string;
          version: number;
        };
        ComputedFields: never;
        Insert: {
          created_at?: string;
          name: string;
          updated_at?: string;
          user_id: string;
          vault_id: string;
          version?: number;
        };
        Update: {
          created_at?: string;
          name?: string;
          updated_at?: string;
          user_id?: string;
          vault_id?: string;
          version?: number;
        };
        Relationships: [];
      };
    };
    Views: {
      [_ in never]: never;
    };
    Functions: {
      add_embeddings: {
        Args: { file_id: string; items: Json; lease_seconds?: number; lease_token: string; model: string };
        Returns: Json;
      };
      add_knowledge: {
        Args: { chunks: Json; file_id: string; first: number; lease_seconds?: number; lease_token: string };
        Returns: Json;
      };
      advance_rollout: {
        Args: { decision: string; reason?: string; rollout: string; wave: number };
        Returns: Json;
      };
      agent_environment: {
        Args: { agent_id: string; generation: number; lease_token: string };
        Returns: Json;
      };
      begin_sign_in: { Args: { email: string; ip?: string; user_agent?: string }; Returns: Json };
      check_rls_policies: { Args: Record<PropertyKey, never>; Returns: Json };
      claim_advisories: { Args: { max_count?: number; runtime?: Json }; Returns: Json };
      claim_deployments: {
        Args: { lease_seconds?: number; max_count?: number; worker: string };
        Returns: Json;
      };
      claim_embeddings: {
        Args: { lease_seconds?: number; max_count?: number; worker: string };
        Returns: Json;
      };
      claim_file_removals: { Args: { max_count?: number }; Returns: Json };
      claim_knowledge: {
        Args: { lease_seconds?: number; max_count?: number; worker: string };
        Returns: Json;
      };
      claim_replies: { Args: { lease_seconds?: number; max_count?: number; worker: string }; Returns: Json };
      controller_classes: { Args: Record<PropertyKey, never>; Returns: Json };
      controller_installation: { Args: Record<PropertyKey, never>; Returns: Json };
      count_auth_request: { Args: { email: string }; Returns: Json };
      count_public_message: {
        Args: { address: string; agent_id: string; credential: string };
        Returns: Json;
      };
      count_reads: { Args: { reads: Json }; Returns: Json };
      create_agent_key: { Args: { agent_id: string; key: Json }; Returns: Json };
      delete_agent: { Args: { agent_id: string }; Returns: Json };
      delete_budget: { Args: { budget_id: string }; Returns: Json };
      delete_my_account: { Args: { confirm: string }; Returns: Json };
      deploy_agent: { Args: { agent_id: string }; Returns: Json };
      export_agent: { Args: { agent_id: string }; Returns: Json };
      export_my_data: { Args: Record<PropertyKey, never>; Returns: Json };
      fail_embeddings: { Args: { error: string; file_id: string; lease_token: string }; Returns: Json };
      fail_reply: { Args: { failure: Json; job_id: string; lease_token: string }; Returns: Json };
      finish_knowledge: { Args: { file_id: string; lease_token: string; outcome?: Json }; Returns: Json };
      finish_reply: { Args: { answer: Json; job_id: string; lease_token: string }; Returns: Json };
      fleet_adopt: { Args: { installation: string }; Returns: Json };
      fleet_assign_class: { Args: { account: string; class: string }; Returns: Json };
      fleet_classes: { Args: Record<PropertyKey, never>; Returns: Json };
      fleet_delete_class: { Args: { name: string }; Returns: Json };
      fleet_drain: { Args: { controller: string; undo?: boolean }; Returns: Json };
      fleet_hold: { Args: { reason?: string; scope?: string }; Returns: Json };
      fleet_list: {
        Args: { max_count?: number; phase?: string; reason?: string; skip?: number };
        Returns: Json;
      };
      fleet_release: { Args: { minutes?: number; removals?: number }; Returns: Json };
      fleet_retry: { Args: { max_count?: number; reason?: string }; Returns: Json };
      fleet_rollout: { Args: { action: string; reason?: string }; Returns: Json };
      fleet_rollout_canary: { Args: { pauses?: boolean; users?: Json }; Returns: Json };
      fleet_set_class: { Args: { class: Json; name: string }; Returns: Json };
      fleet_status: { Args: Record<PropertyKey, never>; Returns: Json };
      get_agent: { Args: { agent_id: string }; Returns: Json };
      get_agent_logs: {
        Args: {
          after?: string;
          agent_id: string;
          level?: string;
          lines?: number;
          since?: string;
          text?: string;
        };
        Returns: Json;
      };
      get_agent_metrics: { Args: { agent_id: string; range?: string; resolution?: string }; Returns: Json };
      get_agent_status: { Args: { agent_id: string }; Returns: Json };
      get_health: { Args: Record<PropertyKey, never>; Returns: Json };
      get_profile: { Args: Record<PropertyKey, never>; Returns: Json };
      get_system_metrics: { Args: Record<PropertyKey, never>; Returns: Json };
      get_usage: {
        Args: {
          after?: string;
          from?: string;
          group_by?: string;
          limit?: number;
          offset?: number;
          to?: string;
        };
        Returns: Json;
      };
      gone_workloads: { Args: { held: Json }; Returns: Json };
      health_check: { Args: Record<PropertyKey, never>; Returns: Json };
      heartbeat_controller: {
        Args: { lease_seconds?: number; report?: Json; worker: string };
        Returns: Json;
      };
      hold_platforms: {
        Args: { agent_id: string; credential: string; release?: boolean; replica: string };
        Returns: Json;
      };
      import_agent: { Args: { bundle: Json }; Returns: Json };
      ingest_agent_logs: { Args: { rows: Json }; Returns: Json };
      ingest_agent_metrics: { Args: { rows: Json }; Returns: Json };
      ingest_log_lines: {
        Args: {
          agents: string[];
          details: Json[];
          levels: string[];
          messages: string[];
          replicas: string[];
          sequences: number[];
          sources: string[];
          timestamps: string[];
        };
        Returns: Json;
      };
      judge_caller: {
        Args: { agent_id: string; key?: string; need: string; origin?: string };
        Returns: Json;
      };
      launch_agent: { Args: { definition: Json }; Returns: Json };
      list_agent_keys: {
        Args: { after?: string; agent_id: string; limit?: number; offset?: number };
        Returns: Json;
      };
      list_agent_revisions: {
        Args: { after?: string; agent_id: string; limit?: number; offset?: number };
        Returns: Json;
      };
      list_agents: {
        Args: { after?: string; limit?: number; offset?: number; platform?: string; status?: string };
        Returns: Json;
      };
      list_budgets: { Args: { after?: string; limit?: number; offset?: number }; Returns: Json };
      list_plugin_rules: { Args: Record<PropertyKey, never>; Returns: Json };
      list_plugins: {
        Args: { after?: string; limit?: number; offset?: number; query?: string };
        Returns: Json;
      };
      list_security_events: {
        Args: { after?: string; event_type?: string; limit?: number; severity?: string; since?: string };
        Returns: Json;
      };
      list_user_secrets: { Args: Record<PropertyKey, never>; Returns: Json };
      plugin_tree: { Args: { id: string }; Returns: Json };
      put_budget: { Args: { budget: Json }; Returns: Json };
      put_model: { Args: { model: Json }; Returns: Json };
      put_plugin_rule: { Args: { rule: Json }; Returns: Json };
      record_advisories: { Args: { results: Json }; Returns: Json };
      record_auth_attempt: {
        Args: { email: string; ip?: string; ok: boolean; user_agent?: string };
        Returns: Json;
      };
      record_plugins: {
        Args: { agent_id: string; generation: number; lease_token: string; resolved: Json };
        Returns: Json;
      };
      record_security_reports: { Args: { reports: Json }; Returns: Json };
      refuse_request: { Args: { code: string; details?: Json; message: string }; Returns: Json };
      release_deployment: { Args: { agent_id: string; error?: string; lease_token: string }; Returns: Json };
      release_worker: { Args: { worker: string }; Returns: Json };
      remove_plugin_rule: { Args: { action?: string; pattern: string; versions?: string }; Returns: Json };
      remove_user_secret: { Args: { name: string }; Returns: Json };
      reply_acts: { Args: { job_id: string; lease_token: string }; Returns: Json };
      report_deployment: {
        Args: { agent_id: string; generation: number; lease_token: string; report: Json };
        Returns: Json;
      };
      report_file_removal: { Args: { agent_id: string; error?: string }; Returns: Json };
      report_plugins: { Args: { agent_id: string; credential: string; plugins: Json }; Returns: Json };
      report_reply: {
        Args: {
          job_id: string;
          lease_seconds?: number;
          lease_token: string;
          sequence?: number;
          steps?: Json;
          text?: string;
        };
        Returns: Json;
      };
      reserve_model_call: {
        Args: { agent_id: string; call: Json; credential: string; settled?: Json; steps?: Json };
        Returns: Json;
      };
      restart_agent: { Args: { agent_id: string }; Returns: Json };
      retire_model: {
        Args: {
          framework: string;
          name: string;
          retires_at: string;
          still_taken?: boolean;
          successor?: string;
        };
        Returns: Json;
      };
      retrieve_for_reply: {
        Args: { embedding?: Json; job_id: string; lease_token: string; unembedded?: string };
        Returns: Json;
      };
      revoke_agent_key: { Args: { agent_id: string; key_id: string }; Returns: Json };
      rollback_agent: { Args: { agent_id: string; revision?: number }; Returns: Json };
      runtime_acts: {
        Args: { agent_id: string; attempt: string; credential: string; message_id: string };
        Returns: Json;
      };
      runtime_begin_message: {
        Args: {
          agent_id: string;
          by_service?: boolean;
          content: string;
          conversation_id: string;
          credential: string;
          id: string;
          replica: string;
        };
        Returns: Json;
      };
      runtime_knowledge: {
        Args: {
          agent_id: string;
          before?: string;
          credential: string;
          embedding?: Json;
          message_id: string;
          question: string;
          unembedded?: string;
        };
        Returns: Json;
      };
      runtime_plugin_secret: {
        Args: { agent_id: string; credential: string; plugin: string };
        Returns: Json;
      };
      runtime_question_model: { Args: { agent_id: string; credential: string }; Returns: Json };
      runtime_search: {
        Args: {
          agent_id: string;
          conversation_id: string;
          credential: string;
          limit?: number;
          query: string;
        };
        Returns: Json;
      };
      runtime_tool_secret: { Args: { agent_id: string; credential: string; tool_id: string }; Returns: Json };
      runtime_tools: { Args: { agent_id: string; credential: string }; Returns: Json };
      scale_agent: { Args: { agent_id: string; scale: Json }; Returns: Json };
      scan_agent: { Args: { agent_id: string }; Returns: Json };
      search_conversation: {
        Args: { job_id: string; lease_token: string; limit?: number; query: string };
        Returns: Json;
      };
      set_embedding_model: { Args: { framework: string; model: string }; Returns: Json };
      set_user_secret: { Args: { name: string; value: string }; Returns: Json };
      settle_model_calls: {
        Args: { agent_id: string; credential: string; settled: Json; steps?: Json };
        Returns: Json;
      };
      sleep_agent: { Args: { agent_id: string }; Returns: Json };
      sleep_deployment: {
        Args: { agent_id: string; generation: number; lease_token: string };
        Returns: Json;
      };
      start_agent: { Args: { agent_id: string }; Returns: Json };
      stop_agent: { Args: { agent_id: string }; Returns: Json };
      stop_all_agents: { Args: Record<PropertyKey, never>; Returns: Json };
      update_agent: { Args: { agent_id: string; changes: Json }; Returns: Json };
      update_profile: { Args: { changes: Json }; Returns: Json };
      wake_agent: { Args: { agent_id: string }; Returns: Json };
      wake_deployment: { Args: { agent_id: string; cause?: string; credential?: string }; Returns: Json };
      wanted_plugin_trees: { Args: Record<PropertyKey, never>; Returns: Json };
    };
    Enums: {
      [_ in never]: never;
    };
    CompositeTypes: {
      [_ in never]: never;
    };
  };
};

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">;

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">];

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
      Row: infer R;
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
        Row: infer R;
      }
      ? R
      : never
    : never;

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Insert: infer I;
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Insert: infer I;
      }
      ? I
      : never
    : never;

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Update: infer U;
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Update: infer U;
      }
      ? U
      : never
    : never;

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
    : never;

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  }
    ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never = never,
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
    : never;

export const Constants = {
  public: {
    Enums: {},
  },
} as const;
